# Ctrl-X at the prompt opens kimi with the line as its first prompt; completion of `kimi`. See README.md.

# The line becomes the command `kimi -- 'LINE'`, quoted by bash itself: one argument, in the history like any other command.
_kimi_open_line() {
  if [[ $READLINE_LINE == *[^[:space:]]* ]]; then
    local space= # what keeps a line out of the history (HISTCONTROL=ignorespace) keeps the command out, too
    [[ $READLINE_LINE == ' '* ]] && space=' '
    READLINE_LINE="${space}kimi -- ${READLINE_LINE@Q}"
  else
    READLINE_LINE=kimi
  fi
  READLINE_POINT=${#READLINE_LINE}
}

# Asks kimi for its completion when it is first wanted: a start of the shell costs nothing. 124 tells bash to try again.
_kimi_first_completion() {
  local script
  script=$(kimi completion bash) && eval "$script" && return 124
}

# A key runs either shell code or an editing command, so the key stands for two sequences that no keyboard sends.
_kimi_bind() {
  local keymap
  for keymap in emacs vi-insert vi-command; do
    bind -m "$keymap" -x '"\e[kimi-line~": _kimi_open_line'
    bind -m "$keymap" '"\e[kimi-enter~": accept-line'
    bind -m "$keymap" "\"$1\": \"\\e[kimi-line~\\e[kimi-enter~\""
  done
}

if [[ $- == *i* ]]; then
  if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] < 404)); then
    echo "kimi: its key at the prompt needs bash 4.4 or newer; this is $BASH_VERSION" >&2
  elif [[ -n ${KIMI_SHELL_KEY-\C-x} ]]; then
    _kimi_bind "${KIMI_SHELL_KEY-\C-x}"
  fi
  complete -F _kimi_first_completion kimi
fi
unset -f _kimi_bind
