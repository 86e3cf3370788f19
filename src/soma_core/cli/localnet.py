"""``soma localnet``: a network of several processes on this machine, until Ctrl-C."""

from pathlib import Path

import click

from ._print import talk


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=Path("soma-localnet"),
    show_default=True,
    metavar="DIR",
    help="Where the nodes keep their data; an existing network is started again.",
)
@click.option("--encoder", default="encoder-jax", show_default=True, metavar="NAME", help="The encoders' plugin.")
@click.option(
    "--validators", type=click.IntRange(1, 16), default=4, show_default=True, metavar="N", help="How many validators."
)
def localnet(data_dir: Path, encoder: str, validators: int) -> None:
    """Run validators and the five bundled encoders as processes on this machine, until Ctrl-C."""
    import time

    from ._network import Network, Plan

    with Network(data_dir.absolute(), Plan(validators=validators, encoder=encoder), talk) as network:
        network.start()
        plan = network.plan
        talk(f"\nA network of {_several(plan.validators)} and {len(plan.encoders)} encoders runs in {data_dir}.")
        talk(f"  soma embed FILE --data-dir {network.validator}")
        talk(f"  soma search FILE --data-dir {network.validator}")
        talk(f"  soma status --data-dir {network.validator}")
        talk("Ctrl-C ends it; the same command starts it again.")
        while True:
            time.sleep(1)
            network.alive()


def _several(validators: int) -> str:
    return "one validator" if validators == 1 else f"{validators} validators"
