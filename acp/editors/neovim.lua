require("codecompanion").setup({
  interactions = {
    chat = { adapter = "kimi_cli" },
  },
  adapters = {
    acp = {
      kimi_cli = function()
        return require("codecompanion.adapters").extend("kimi_cli", {
          commands = { default = { "kimi", "acp" } },
        })
      end,
    },
  },
})
