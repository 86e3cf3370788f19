"""The command ``soma``. One file a command, imported when it is called; listing imports none of them."""

import sys
from collections.abc import Sequence
from typing import Final, NamedTuple


class Verb(NamedTuple):
    """A built-in command: its line in ``soma --help``."""

    help: str


VERBS: Final = {
    "run": Verb("Run a node; without a genesis file, a development network of one."),
    "localnet": Verb("Run a network of several processes on this machine."),
    "demo": Verb("Start a network, embed files, print what everything cost and proved."),
    "embed": Verb("Turn files into vectors through a running node."),
    "search": Verb("Find what the network embedded that is near to a file, a text, a job or a vector."),
    "targets": Verb("Show what data the network seeks, and what was hit."),
    "hunt": Verb("Look among files for data that hit a target, and submit them."),
    "claim": Verb("Have hits paid whose audits are over."),
    "verify": Verb("Check a receipt offline."),
    "status": Verb("Say how a running node is."),
    "balance": Verb("Show what an account holds."),
    "send": Verb("Send SOMA to an account."),
    "backup": Verb("Write all that a node's chain is into one file."),
    "restore": Verb("Make a node's data directory from a backup."),
    "keys": Verb("Make, list and show keys."),
    "genesis": Verb("Make, show and check genesis files."),
    "encoder": Verb("Make an encoder, align it, register it, serve it; or try one without a network."),
    "stake": Verb("Stake with encoders and validators."),
    "validator": Verb("Validate with a node, leave again, see who does."),
    "audit": Verb("See what validators compute again, and dispute it."),
    "tokenize": Verb("Cut files into tokens, nine ways, with identities."),
    "compress": Verb("Pack a file without loss."),
    "decompress": Verb("Give back what was packed, bit for bit."),
    "index": Verb("Keep vectors in a folder and find the nearest, without a network."),
    "train": Verb("Train a small byte model."),
    "plugins": Verb("List, describe and check plugins."),
    "conformance": Verb("Hold a plugin against the published suite of its kind."),
    "simulate": Verb("Run a simulated network and look for anything that must not be."),
    "config": Verb("Show settings and where they come from."),
    "doctor": Verb("Look for what could keep a node from running well."),
}
"""Built-in commands, in the order of the help. ``soma_core.cli.<verb>:<verb>`` is the click command of each."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``soma`` with `arguments` (default: this process's). Returns the exit status; raises no Exception."""
    from ._errors import report
    from ._group import soma

    try:
        result = soma.main(
            list(sys.argv[1:] if arguments is None else arguments), prog_name="soma", standalone_mode=False
        )
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_stdout()
        return 1
    except (Exception, KeyboardInterrupt, BaseExceptionGroup) as error:  # noqa: BLE001  # the last frame of the program
        return report(error)
    return result if isinstance(result, int) and not isinstance(result, bool) else 0


def _forget_stdout() -> None:
    """Nobody reads any more. Point stdout elsewhere, or the interpreter complains about it on its way out."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
