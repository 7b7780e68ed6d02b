"""The command line: flags to a Config, to build(), to a front end."""
