"""A task for an agent of ACP through the SDK of OpenHands. Arguments: a folder, then the agent's command."""

import sys
from importlib import import_module

work, *command = sys.argv[1:]
agent = import_module("openhands.sdk.agent.acp_agent").ACPAgent(acp_command=command)
conversation = import_module("openhands.sdk").Conversation(agent=agent, workspace=work)
conversation.send_message("Write b.")
conversation.run()
conversation.close()
