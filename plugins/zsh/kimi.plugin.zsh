# Ctrl-X at the prompt opens kimi with the line as its first prompt; completion of `kimi`. See README.md.

# The line becomes the command `kimi -- 'LINE'`, quoted by zsh itself: one argument, in the history like any other command.
_kimi_open_line() {
  emulate -L zsh
  if [[ $CONTEXT == cont ]]; then
    zle push-line-or-edit # the lines of an unfinished command come back as one, for another press of the key
  elif [[ $CONTEXT == start ]]; then
    local space= # what keeps a line out of the history (HIST_IGNORE_SPACE) keeps the command out, too
    [[ $BUFFER == ' '* ]] && space=' '
    local quoted=${(q+)BUFFER}
    [[ $quoted == $BUFFER ]] && quoted=${(qq)BUFFER} # a plain word could be a global alias
    [[ $BUFFER == *[^[:space:]]* ]] && BUFFER="${space}kimi -- $quoted" || BUFFER=kimi
    zle accept-line
  fi
}

# Asks kimi for its completion when it is first wanted: a start of the shell costs nothing.
_kimi_first_completion() {
  local script
  script=$(kimi completion zsh) && eval "$script" && _kimi_completion "$@"
}

if [[ -o zle ]]; then
  zle -N _kimi_open_line
  if [[ -n ${KIMI_SHELL_KEY-\C-x} ]]; then
    for _kimi_keymap in emacs viins vicmd; do
      bindkey -M $_kimi_keymap -- "${KIMI_SHELL_KEY-\C-x}" _kimi_open_line
    done
    unset _kimi_keymap
  fi
fi
if (( ${+functions[compdef]} )); then
  compdef _kimi_first_completion kimi
fi
