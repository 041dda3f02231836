"""Bugs planted on purpose: what the simulation is worth is how soon it finds them."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module

from tests.simulation.result import FailureError
from tests.simulation.simulate import simulate


@dataclass(frozen=True, slots=True)
class Planted:
    """One bug: in the source of a function, the text `right` becomes `wrong`."""

    name: str
    place: str
    """`module:Class.function`."""
    right: str
    wrong: str


BUGS = (
    Planted(
        "ring: location one too low",
        "gateway.hub.ring:Ring.locate",
        "position <= state.start",
        "position < state.start",
    ),
    Planted("ring: location one segment late", "gateway.hub.ring:Ring.locate", "position - 1, key", "position, key"),
    Planted("ring: everybody is aligned", "gateway.hub.ring:Ring.aligned", "return False", "continue"),
    Planted(
        "ring: consumed positions of the segment after",
        "gateway.hub.ring:Ring.consumed_at",
        "state, number)",
        "state, number + 1)",
    ),
    Planted(
        "ring: start stays at eviction",
        "gateway.hub.ring:Ring._drop",
        "state.start = state.portions[0].before if state.portions else state.tail",
        "pass",
    ),
    Planted("ring: nothing is evicted", "gateway.hub.ring:Ring.close", "self.size > self.capacity", "False"),
    Planted("ring: no epoch at a break", "gateway.hub.ring:Ring._restart", "self.epoch += 1", "pass"),
    Planted(
        "history: merge without waiting",
        "gateway.hub.merge:Merge._take",
        "if not waiting or (not regardless and self.hungry()):",
        "if not waiting:",
    ),
    Planted(
        "history: merge by partition",
        "gateway.hub.merge:Merge._take",
        "heap = [(buffer[0].timestamp,",
        "heap = [(0,",
    ),
    Planted(
        "past: one record too far",
        "gateway.hub.past:_Frontier.next",
        "records[-1].offset + 1",
        "records[-1].offset + 2",
    ),
    Planted(
        "past: another history segment",
        "gateway.hub.past:Past.read",
        "(frozenset(positions.items()), identity)",
        "(frozenset(positions), identity)",
    ),
    Planted("past: another topic", "gateway.hub.past:_Frontier._confirm", "state.identity != identity", "False"),
    Planted("past: readers not closed", "gateway.hub.past:_Frontier.close", "await self._reader.close()", "pass"),
    Planted(
        "past: nothing is forgotten", "gateway.bounded_cache:BoundedCache._trim", "self.size > self.capacity", "False"
    ),
    Planted(
        "session: waits for the ring without giving way",
        "gateway.subscription.alone:follow",
        """await reader.wait_for_change(subscription)
            await give_way()""",
        "pass",
    ),
    Planted(
        "past: history segments without a bound in bytes",
        "gateway.hub.past:_Share.fitting",
        "bisect_left(within, self._left) + 1",
        "len(within)",
    ),
    Planted(
        "session: what was written is held on",
        "gateway.feed.held:Holding.release",
        "self._reserved = 0",
        "pass",
    ),
    Planted(
        "past: a load that is done is given again",
        "gateway.hub.past:Past._load",
        "self._loading.pop(key, None)",
        "pass",
    ),
    Planted(
        "past: consumed positions of another",
        "gateway.feed.feed:Feed._past_key",
        "tuple([consumed[partition] for partition in self.encoder.partitions])",
        "0",
    ),
    Planted(
        "resolve: expired one too early",
        "gateway.subscription.resolve:Resolver._from_log",
        "max(requested.offset + 1, reached) < bounds.start",
        "max(requested.offset, reached) < bounds.start",
    ),
    Planted(
        "resolve: another record is trusted",
        "gateway.subscription.resolve:Resolver._inside",
        "record.timestamp != timestamp",
        "False",
    ),
    Planted(
        "resolve: compacted is unknown",
        "gateway.subscription.resolve:Resolver._inside",
        "if record is not None:",
        "if record is None:\n"
        "        await self._unknown(partition, requested, bounds, start)\n"
        "        return\n"
        "    else:",
    ),
    Planted(
        "resolve: seen counts double",
        "gateway.subscription.seen:_follow",
        "count, last = count + 1",
        "count, last = count + 2",
    ),
    Planted(
        "resolve: what the hub does not know is dropped",
        "gateway.subscription.resolve:Resolver._check_view",
        "if not unknown:",
        "if True:",
    ),
    Planted(
        "resolve: unnamed is live",
        "gateway.subscription.origin:Origin._unnamed",
        "return RequestedPosition(None, 0)",
        "return None",
    ),
    Planted(
        "resolve: what is away counts as read",
        "gateway.subscription.resolve:Resolver._absent",
        "tail is not None and _is_behind(requested, tail)",
        "tail is not None",
    ),
    Planted(
        "session: follows others in a topic that is away",
        "gateway.subscription.reader:Reader.is_aligned",
        "any(partition in held for partition in subscription.waiting)",
        "False",
    ),
    Planted("position: seen starts at none", "gateway.model.position.entry:ConsumedPosition.after", "else 1", "else 0"),
    Planted(
        "gzip: everybody has the key",
        "gateway.feed.live_clients:LiveClients.add",
        "Coding.ALONE if",
        "Coding.CHAINED if",
    ),
    Planted(
        "gzip: shared blocks not counted",
        "gateway.feed.packer:Gzip.count_shared",
        "if length:",
        "if False:",
    ),
    Planted(
        "live: released one segment early",
        "gateway.feed.live:LiveFeed.deliver",
        "self.release(client, segment.number + 1)",
        "self.release(client, segment.number)",
    ),
    Planted(
        "live: who lags stays",
        "gateway.feed.live_clients:LiveClients._write",
        "not client.keeps_up",
        "False",
    ),
    Planted(
        "live: sent past what waits",
        "gateway.feed.live_clients:LiveClients.regroup",
        "or client.transport.get_write_buffer_size()",
        "",
    ),
    Planted(
        "live: what was sent in part is sent again",
        "gateway.feed.live_clients:LiveClients.write",
        "chunk[sent:]",
        "chunk",
    ),
    Planted(
        "gzip: the chain goes on after a heartbeat",
        "gateway.feed.live:LiveFeed.heartbeat",
        "client.coding = Coding.ALONE",
        "pass",
    ),
    Planted(
        "live: not settled on release",
        "gateway.feed.live_clients:LiveClient.release",
        "self.on_release(number)",
        "pass",
    ),
    Planted("feed: heartbeat one segment on", "gateway.feed.timeline:Timeline.end", "open.number", "open.number - 1"),
    Planted(
        "feed: filters share their blocks",
        "gateway.feed.feed:Feed._judged_key",
        "(self._choice, segment.serial)",
        "(self.selection.topics, segment.serial)",
    ),
    Planted(
        "feed: canaries for everybody",
        "gateway.feed.selection:Selection.choose",
        "(canary and not self.canary)",
        "False",
    ),
    Planted(
        "limit: one more",
        "gateway.subscription.subscription:Subscription.offer",
        "self.remaining == 0",
        "self.remaining < 0",
    ),
    Planted(
        "until: one more",
        "gateway.subscription.subscription:Subscription.offer",
        "consumed.timestamp >= until",
        "consumed.timestamp > until",
    ),
    Planted(
        "until: the log is not asked",
        "gateway.subscription.range_end:is_read",
        "all(next_offset >= bounds[partition].end for partition, next_offset in read.items())",
        "True",
    ),
    Planted(
        "discovery: new partitions begin live",
        "gateway.hub.beginnings:Beginnings.find",
        "elif wanted[partition]:",
        "elif False:",
    ),
    Planted(
        "discovery: recreated goes unseen",
        "gateway.hub.discovery:Discovery.look",
        "before.identity != state.identity",
        "False",
    ),
    Planted(
        "hub: what is sick is waited for",
        "gateway.hub.history:History.fetch",
        "for partition, end in self.ends.items() if partition not in self.troubles}",
        "for partition, end in self.ends.items()}",
    ),
    Planted(
        "pace: who rests rests for ever",
        "gateway.hub.pace:_Topic.left",
        "self.length - (now - self.begun)",
        "self.length",
    ),
    Planted(
        "hub: what rests is passed over",
        "gateway.hub.ordered:OrderedReader.fetch",
        "positions = {batch.partition: batch.position for batch in batches}",
        "positions = {p: at + (p.topic in resting) for p, at in self._positions().items()} | "
        "{batch.partition: batch.position for batch in batches}",
    ),
    Planted(
        "hub: what waits for others is lost when one heals",
        "gateway.hub.ordered:OrderedReader.restart",
        "return merge.waiting() if merge is not None else ()",
        "return ()",
    ),
    Planted(
        "hub: one that heals goes on at the end",
        "gateway.hub.recovery:Recovery.join",
        "self._ring.end(partition) for",
        "self._ring.end(partition) + 1 for",
    ),
    Planted(
        "hub: who heals is not read again",
        "gateway.hub.recovery:Recovery._examine",
        "self.joining.add(partition)",
        "pass",
    ),
    Planted(
        "hub: what is refused of a topic that is another by now",
        "gateway.hub.hub:Hub._read",
        "if not self.recovery.is_foreign(refusal.partition):",
        "if True:",
    ),
    Planted(
        "hub: another topic is joined",
        "gateway.hub.recovery:Recovery.join",
        "if partition.topic in others:",
        "if False:",
    ),
    Planted(
        "session: what waits is forgotten",
        "gateway.subscription.subscription:Subscription.requested",
        "return requested | self.waiting",
        "return requested",
    ),
    Planted(
        "session: a range ends without what is sick",
        "gateway.subscription.reader:Reader.finish_until",
        "for partition in subscription.waiting\n",
        "for partition in ()\n",
    ),
    Planted(
        "resolve: partitions of a hidden topic are dropped",
        "gateway.subscription.resolve:Resolver.resolve",
        "if self._hub.has(each)), *untold})",
        "if self._hub.has(each))})",
    ),
    Planted(
        "hub: filled without delivery", "gateway.hub.hub:Hub._flush_when_full", "self.flush()", "self.ring.close()"
    ),
    Planted(
        "session: joins new partitions at their end",
        "gateway.subscription.subscription:Subscription.rejoin",
        "kept[partition].offset + 1",
        "kept[partition].offset + 2",
    ),
    Planted(
        "session: gaps are told at once",
        "gateway.subscription.subscription:Subscription.gaps",
        "gaps[index + 1 :]",
        "[]",
    ),
    Planted(
        "session: feeds are kept",
        "gateway.subscription.session:Session.close",
        "self.services.broadcast.leave(self.live_feed)",
        "pass",
    ),
)


@contextmanager
def planted(bug: Planted) -> Iterator[None]:
    """Plant a bug until the end of the block."""
    module_name, _, path = bug.place.partition(":")
    module = import_module(module_name)
    *owners, name = path.split(".")
    owner: object = module
    for part in owners:
        owner = getattr(owner, part)
    before = inspect.getattr_static(owner, name)
    source = textwrap.dedent(inspect.getsource(getattr(owner, name)))
    assert source.count(bug.right) == 1, (
        f"{bug.name}: {bug.right!r} stands {source.count(bug.right)} times in {bug.place}"
    )
    names: dict[str, object] = {}
    code = compile("from __future__ import annotations\n" + source.replace(bug.right, bug.wrong), bug.place, "exec")
    exec(code, module.__dict__, names)
    setattr(owner, name, names[name])
    try:
        yield
    finally:
        setattr(owner, name, before)


def search(seeds: int, wanted: str = "") -> int:
    """Look for each bug (whose name has this in it) in so many worlds, and tell which was found when."""
    missed = 0
    for bug in BUGS:
        if wanted not in bug.name:
            continue
        found = None
        for seed in range(seeds):
            try:
                with planted(bug):
                    simulate(seed)
            except FailureError as error:
                found = f"{seed + 1:4} seeds  {str(error).splitlines()[0].partition(': ')[2][:90]}"
                break
        missed += found is None
        print(f"{bug.name:45} {found or 'not found'}", flush=True)
    return min(1, missed)
