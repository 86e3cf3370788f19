"""What an engine is made of: each part knows one thing, and all of them are made here."""

from typing import TYPE_CHECKING

from attrs import frozen

from soma_core.api import Setup

from ._block import Format
from ._catchup import CatchUp
from ._clock import Clock
from ._committee import Committee
from ._committer import Committer, Rule
from ._dag import Dag
from ._fetcher import Fetcher
from ._linearizer import Linearizer
from ._manager import Manager
from ._ordering import Ordering
from ._outbox import Outbox
from ._proposer import Proposer
from ._recovery import Recovery
from ._schedule import Schedule
from ._votes import Votes

if TYPE_CHECKING:
    from . import Config, Params


@frozen(kw_only=True, eq=False)
class Parts:
    """`me`: our place. `keys`: of the members. `gc_depth`: rounds, as in `Params`."""

    me: int
    keys: tuple[bytes, ...]
    gc_depth: int
    committee: Committee
    format: Format
    out: Outbox
    dag: Dag
    manager: Manager
    clock: Clock
    schedule: Schedule
    committer: Committer
    linearizer: Linearizer
    ordering: Ordering
    proposer: Proposer
    fetcher: Fetcher
    votes: Votes
    catch_up: CatchUp
    recovery: Recovery


def make(config: "Config", params: "Params", setup: Setup, out: Outbox, ground: int) -> Parts:
    """New parts of an engine. `ground`: the round of genesis blocks; 0 but for who has lost all that it knew alone."""
    me = setup.me or 0
    committee = Committee([member.power for member in setup.committee])
    format_ = Format(setup.chain, setup.epoch, committee, ground)
    dag = Dag()
    dag.drop(ground)  # genesis blocks need no place in it
    manager = Manager(dag)
    clock = Clock(committee, ground + 1)
    schedule = schedule_of(params, setup, committee)
    committer = Committer(dag, committee, Rule(wave=params.wave_length), schedule.leaders)
    committer.move_to((ground, committee.size))
    linearizer = Linearizer(dag, committee, params.gc_depth)
    return Parts(
        me=me,
        keys=tuple(member.key for member in setup.committee),
        gc_depth=params.gc_depth,
        committee=committee,
        format=format_,
        out=out,
        dag=dag,
        manager=manager,
        clock=clock,
        schedule=schedule,
        committer=committer,
        linearizer=linearizer,
        ordering=Ordering(setup.first, dag, manager, committer, linearizer, schedule),
        proposer=Proposer(me, format_.genesis, config, committee, dag, clock, schedule, params.gc_depth // 2),
        fetcher=Fetcher(me, committee.size),
        votes=Votes(committee),
        catch_up=CatchUp(committee, format_, setup.first, params.gc_depth),
        recovery=Recovery(me, committee),
    )


def schedule_of(params: "Params", setup: Setup, committee: Committee) -> Schedule:
    """Who leads in this epoch, before anything was committed."""
    return Schedule(
        committee,
        setup.chain + setup.epoch.to_bytes(8, "big"),
        count=params.leaders_per_round,
        interval=params.schedule_commits,
        bad_percent=params.schedule_bad_percent,
    )
