;; With acp.el alone.
(require 'acp)

(defun kimi-acp-client (&optional buffer)
  "A client of acp.el that runs kimi, for BUFFER."
  (acp-make-client :command "kimi" :command-params '("acp") :context-buffer buffer))

;; With agent-shell: M-x kimi.
(defun kimi ()
  "Start a shell of kimi."
  (interactive)
  (require 'agent-shell)
  (agent-shell-start
   :config (agent-shell-make-agent-config
            :identifier 'kimi
            :mode-line-name "Kimi"
            :buffer-name "Kimi"
            :shell-prompt "Kimi> "
            :shell-prompt-regexp "Kimi> "
            :client-maker #'kimi-acp-client)))
