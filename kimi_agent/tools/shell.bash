# Read by bash before a command, as its BASH_ENV: the command itself stays byte for byte what the model wrote, so exit code,
# `set -e`, line numbers and syntax errors are those of `bash -c`. A command that sets its own EXIT trap, or that ends in
# `exec`, leaves no report of its folder; the folder then stays what it was. Part of the package, where no command can change it.
trap '{ trap - DEBUG ERR; set +xv; builtin pwd -P >|"$_KIMI_CWD"; } >/dev/null 2>&1 || :' EXIT
export -n _KIMI_CWD _KIMI_NO_EDITOR
unset BASH_ENV

# vi without a terminal waits for keys from its stderr, for ever; with commands of its own (-es, -c, +cmd) it needs none.
_kimi_vi() {
  case " ${*:2}" in
    *" -"[eEsc-]*|*" +"[!0-9]*|*" -h"*) command "$@" ;;
    *) echo "$_KIMI_NO_EDITOR" >&2; return 1 ;;
  esac
}
vi() { _kimi_vi vi "$@"; }
vim() { _kimi_vi vim "$@"; }
nvim() { _kimi_vi nvim "$@"; }
