(require 'acp)

(defun kimi-acp-client ()
  "A client of acp.el that runs kimi."
  (acp-make-client :command "kimi" :command-params '("acp")))
