"""An MCP server on standard input and output with one habit: `stdio_server.py [--log FILE] BEHAVIOUR [ARG...]`.

The class of a behaviour says what it does and what its arguments are. The log gets `start PID`, every method (`call NAME` for
tool calls), `cancelled ID` and `end of input`.
"""

import sys

import faults
import features
import lifecycle

BEHAVIOURS = {
    "good": lifecycle.Good,
    "exits_at_once": lifecycle.ExitsAtOnce,
    "hangs_at_start": lifecycle.HangsAtStart,
    "ignores_probe": lifecycle.IgnoresProbe,
    "rmcp_like": lifecycle.RmcpLike,
    "modern_only": lifecycle.ModernOnly,
    "modern_changes": lifecycle.ModernChanges,
    "dirty": faults.Dirty,
    "floods_stderr": lifecycle.FloodsStderr,
    "floods_stdout": lifecycle.FloodsStdout,
    "asks_for_ever": lifecycle.AsksForEver,
    "garbage": lifecycle.Garbage,
    "big": faults.Big,
    "many": faults.Many,
    "odd_names": faults.OddNames,
    "endless_list": faults.EndlessList,
    "changes_tools": faults.ChangesTools,
    "dies_in_call": faults.DiesInCall,
    "ignores_cancel": faults.IgnoresCancel,
    "heeds_cancel": faults.HeedsCancel,
    "stubborn": lifecycle.Stubborn,
    "double_forks": lifecycle.DoubleForks,
    "slow_progress": faults.SlowProgress,
    "asks": features.Asks,
    "probes": features.Probes,
    "logging": features.Logging,
    "rich": features.Rich,
    "features": features.Features,
}


def main(arguments):
    log = arguments[1] if arguments[:1] == ["--log"] else ""
    behaviour, *more = arguments[2 if log else 0 :]
    BEHAVIOURS[behaviour](tuple(more), log).run()


if __name__ == "__main__":
    main(sys.argv[1:])
