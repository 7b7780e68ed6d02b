"""Programs by what they do with others: those that run a command out of their arguments, or a program out of a string."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


SHELLS = _names("bash sh dash zsh ksh mksh ash fish csh tcsh rbash pwsh busybox toybox")
INTERPRETERS = SHELLS | _names(
    "python python2 python3 pypy pypy3 node nodejs deno bun perl ruby irb php lua luajit tclsh wish expect awk gawk"
    " mawk nawk sed osascript rscript julia ghci scala groovy jshell erl elixir iex sbcl guile racket octave ipython"
    " jupyter psql mysql sqlite3 gdb lldb vim vi nvim ex ed emacs nano tmux screen make gmake just task rake cmake"
    " ninja"
)
"""Programs that run what they read."""

KEYWORDS = _names("if then else elif fi case esac for select while until do done in function time { } ! [[ ]] coproc")
WRAPPERS = (
    KEYWORDS
    | _names(
        "sudo doas su runuser pkexec env timeout gtimeout nice ionice nohup setsid stdbuf unbuffer xargs parallel watch"
        " entr strace ltrace perf valgrind gdb exec command builtin eval trap alias coproc find fd fdfind chroot unshare"
        " nsenter bwrap firejail flock numactl taskset chrt cpulimit prlimit systemd-run systemd-inhibit dbus-run-session"
        " xvfb-run script scriptreplay ssh mosh docker podman nerdctl kubectl oc lxc vagrant flatpak toolbox distrobox"
        " proot fakeroot faketime proxychains proxychains4 torsocks torify caffeinate chronic ts retry hyperfine at batch"
        " crontab start-stop-daemon daemonize tini dumb-init gosu su-exec direnv dotenv op aws-vault bundle npx bunx pnpx"
        " uvx pipx npm pnpm yarn bun uv poetry pipenv pdm hatch rye conda mamba micromamba tox nox cargo go rustup asdf"
        " mise rtx nvm fnm volta pyenv rbenv setpriv setarch linux32 linux64 i386 x86_64 choom cgexec eatmydata rlwrap"
        " sg capsh nix nix-shell guix aa-exec runcon ld.so ld-linux.so.2 ld-linux-x86-64.so.2 ld-linux-aarch64.so.1"
        " ld-musl-x86_64.so.1 ld-musl-aarch64.so.1"
    )
    | SHELLS
)
"""Programs that may run another one, given in their arguments."""

GIT_RUNS = _names(
    "-c --config-env --exec -x run rebase bisect foreach submodule filter-branch difftool mergetool --upload-pack"
    " --receive-pack --ext-diff --open-files-in-pager -O ext"
)
"""Words with which git runs programs, or strings, that stand on its command line."""

EVALUATORS = INTERPRETERS | _names(
    "eval trap alias su ssh mosh watch env xargs parallel find fd fdfind script at batch crontab docker podman"
    " kubectl nsenter chroot entr flock sudo doas source . hyperfine strace systemd-run mapfile readarray complete"
    " bind sg capsh nix-shell man less tar zip rsync sort split dc m4 ftp compgen fzf"
)
"""Programs that may run what stands in a string."""

RUNNERS = _names(
    "npm npx pnpm pnpx yarn bun bunx deno corepack pip pip3 pipx uv uvx poetry pipenv pdm hatch rye conda mamba"
    " micromamba gem bundle bundler composer brew apt apt-get aptitude dpkg dnf yum rpm pacman apk zypper snap flatpak"
    " nix nix-env nix-shell port choco scoop winget easy_install cpan cpanm luarocks mix rebar3 opam stack cabal ghcup"
    " rustup sdk mvn gradle"
)
"""Programs that fetch and run packages."""
REMOTE = _names(
    "git gh glab hub svn hg jj bzr ssh scp sftp rsync curl wget aria2c nc ncat netcat socat telnet ftp http https xh"
    " docker podman kubectl helm terraform tofu pulumi ansible ansible-playbook aws gcloud az doctl flyctl heroku"
    " vercel netlify wrangler"
)
"""Programs whose effects reach beyond this machine, or that run what a repository says."""
DESTRUCTIVE = _names(
    "rm rmdir unlink shred dd mkfs truncate chmod chown chgrp chattr mv ln install kill pkill killall mount umount"
    " reboot shutdown halt poweroff tee crontab"
)
BUILTINS = _names(
    ". : [ alias bg bind break builtin caller cd command compgen complete compopt continue declare dirs disown enable"
    " eval exec exit export fc fg getopts hash help history jobs kill let local logout mapfile popd pushd read"
    " readarray readonly return set shift shopt source suspend times trap type typeset ulimit umask unalias unset wait"
)
"""Builtins that change what later commands of a line mean, or that end it."""

RUN_BY_OPTION = _names(
    "tar bsdtar zip split sort man less more most pager rename prename openssl gpg ld qemu wine wine64 java javaw dotnet mono"
    " kotlin crystal nim raku ocaml swipl dc m4 ts-node tsx bazel bazelisk ant meson scons waf buck pants"
)
"""Programs that run another one for some option or file; common ones of the languages above among them."""

NEVER_ALWAYS = INTERPRETERS | WRAPPERS | RUNNERS | REMOTE | DESTRUCTIVE | BUILTINS | RUN_BY_OPTION
"""Nobody is offered to allow these for ever."""
