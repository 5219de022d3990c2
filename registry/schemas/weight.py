"""The most work that checking a value of some size with a schema can take: known before the check begins.

Theory of operation. The engine has no time limit and holds the interpreter lock, so a check that could take long must
not begin. The weight of a schema says, for each depth of a value, the most that is done to one value at that depth: the
sum over all parts that can be applied at one place, and of these sums the largest over all places. The size of a value
is how many numbers, texts and others it has at each depth. The work is their product, in units of about 10 ns. The
costs are upper bounds, measured with the worst values that we found (docs/decisions/0013,
tests/unit/registry/test_schema_work.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from contract.bounds import DEPTH_MAX
from registry.schemas.parts import SchemaPart
from registry.schemas.patterns import SMALL_BYTES
from registry.schemas.program import EXACT, as_whole, kinds_of
from registry.schemas.references import UNEVALUATED_FACTOR

WORK_MAX = 2_000_000
"""The most units that one check may take: about 20 ms."""

_VALUE = 5
"""Units for a value that nothing is asked about. To say where a large value does not fit costs about as much."""
_PLAIN_LEAST, _PLAIN_MOST = 1e-9, 1e19
"""The engine needs hundreds of digits to compare fractions outside these bounds."""


class Cost(NamedTuple):
    """The cost of one value at one depth. Each field counts work whose price depends on the value."""

    parts: float = 0
    """Keywords looked at."""
    limits: float = 0
    """Comparisons of a number with a whole number."""
    fractions: float = 0
    """Comparisons with a fraction, or for equality."""
    unique: float = 0
    """Comparisons of each item with each, in a list whose items must differ."""
    text: float = 0
    """Units for each byte of text."""

    def plus(self, other: Cost, times: float = 1) -> Cost:
        return Cost(
            self.parts + times * other.parts,
            self.limits + times * other.limits,
            self.fractions + times * other.fractions,
            self.unique + times * other.unique,
            self.text + times * other.text,
        )

    def within(self, most: float) -> Cost:
        return Cost(*(min(each, most) for each in self))


_NOTHING = Cost()
_PART = Cost(parts=1, text=0.05)
_NAME_LOOKED_UP = Cost(parts=3)
_NAME_UNEVALUATED = Cost(parts=5, text=0.05)
_HASHED = Cost(parts=45, unique=1, text=0.05)
_COMPARED = Cost(parts=10, text=0.01)
_CIRCULAR = Cost(parts=10)
"""The engine looks for a part that leads to itself among the parts that are being applied."""


class LevelSize(NamedTuple):
    """What lies at one depth of a value, names of properties among it."""

    values: int
    whole: int
    long: int
    """Whole numbers beyond EXACT, which the engine compares as texts of digits."""
    fractions: int
    extremes: int
    """Fractions that the engine needs hundreds of digits to compare."""
    text_bytes: int

    def work(self, cost: Cost) -> float:
        return (
            self.values * (_VALUE + cost.parts)
            + self.whole * (2 * cost.limits + 150 * cost.fractions + 40 * cost.unique)
            + self.long * (20 * cost.parts + 5 * cost.limits + 300 * cost.fractions)
            + self.long * (14_000 + 30 * self.long) * cost.unique
            + self.fractions * (3 * cost.limits + 250 * cost.fractions + 600 * cost.unique)
            + self.extremes * (250 * cost.limits + 6_000 * cost.fractions + 14_000 * cost.unique)
            + self.text_bytes * cost.text
        )


def sizes(value: Any) -> Iterator[LevelSize]:
    """The sizes of a value decoded from JSON, depth by depth, down to the first depth with more than can be checked."""
    level = [value]
    while level:
        if len(level) * _VALUE > WORK_MAX:
            yield LevelSize(len(level), 0, 0, 0, 0, 0)
            return
        below: list[Any] = []
        whole = long = fractions = extremes = text_bytes = 0
        for item in level:
            kind = type(item)
            if kind is int:
                if -EXACT <= item <= EXACT:
                    whole += 1
                else:
                    long += 1
            elif kind is str:
                text_bytes += len(item) if item.isascii() else 4 * len(item)
            elif kind is float:
                if _PLAIN_LEAST <= abs(item) <= _PLAIN_MOST or not item:
                    fractions += 1
                else:
                    extremes += 1
            elif item and kind is list:
                below += item
            elif item and kind is dict:
                below += item
                below += item.values()
        yield LevelSize(len(level), whole, long, fractions, extremes, text_bytes)
        level = below


class SchemaWeight:
    """The cost of checking one value with one schema, by the depth of the value."""

    def __init__(self, root: SchemaPart, circular: frozenset[SchemaPart], programs: dict[str, int]) -> None:
        """`circular`: the parts that lead to themselves. `programs`: by pattern, the size of its program in bytes."""
        places: dict[SchemaPart, _SchemaPlace] = {}
        waiting = [root]
        while waiting:
            part = waiting.pop()
            if part not in places:
                places[part] = place = _SchemaPlace(part, circular, programs)
                waiting += place.leads_to()
        level = {part: place.here for part, place in places.items()}
        levels: dict[tuple[Cost, ...], int] = {}
        self._costs: list[Cost] = []
        """The cost of one value, by how many lists and objects contain it. From `_again` on the costs repeat."""
        while tuple(level.values()) not in levels and len(levels) <= DEPTH_MAX:
            levels[tuple(level.values())] = len(levels)
            self._costs.append(level[root])
            first = len(levels) == 1
            level = {part: place.below(level, first) for part, place in places.items()}
        self._again = levels.get(tuple(level.values()), DEPTH_MAX)

    def work(self, value: Any) -> float:
        """Units for checking a value decoded from JSON. The sum ends once it exceeds WORK_MAX."""
        total = 0.0
        for depth, size in enumerate(sizes(value)):
            total += size.work(self.cost(depth))
            if total > WORK_MAX:
                break
        return total

    def cost(self, depth: int) -> Cost:
        """The cost of one value that lies `depth` lists and objects deep."""
        if depth >= len(self._costs):
            depth = self._again + (depth - self._again) % (len(self._costs) - self._again)
        return self._costs[depth]


class _SchemaPlace:
    """A part, and all parts that it applies to the same value: what is done to the values at one place."""

    def __init__(self, part: SchemaPart, circular: frozenset[SchemaPart], programs: dict[str, int]) -> None:
        self.here = _NOTHING
        self._items: Counter[SchemaPart] = Counter()
        """How often each part is applied to every item. The parts for the items behind `prefixItems` are in it too."""
        self._item_changes: dict[int | str, Counter[SchemaPart]] = {}
        self._properties: Counter[SchemaPart] = Counter()
        self._property_changes: dict[int | str, Counter[SchemaPart]] = {}
        self._names: Counter[SchemaPart] = Counter()
        self._of_names = self._of_properties = self._of_all = _NOTHING
        """Paid by each name, by each name and property, and by each value inside, however deep."""
        for each, times in _together(part).items():
            self._add(each, times, each in circular, programs)

    def _add(self, part: SchemaPart, times: int, circular: bool, programs: dict[str, int]) -> None:
        self.here = self.here.plus(_own(part, programs), times)
        if circular:
            self.here = self.here.plus(_CIRCULAR, times)
        one, named = part.one, part.named
        for word in ("contains", "unevaluatedItems"):
            if word in one:
                self._items[one[word].stands_for()] += times
        rest = one["items"].stands_for() if "items" in one else None
        if rest:
            self._items[rest] += times
        for place, item in enumerate(part.many.get("prefixItems", ())):
            _change(self._item_changes, place, item.stands_for(), rest, times)
        other = one["additionalProperties"].stands_for() if "additionalProperties" in one else None
        if other:
            self._properties[other] += times
        if "unevaluatedProperties" in one:
            self._properties[one["unevaluatedProperties"].stands_for()] += times
            self._of_properties = self._of_properties.plus(_NAME_UNEVALUATED, times)
        for name, item in named.get("properties", {}).items():
            _change(self._property_changes, name, item.stands_for(), other, times)
        for pattern, item in named.get("patternProperties", {}).items():
            self._properties[item.stands_for()] += times
            self._of_names = self._of_names.plus(Cost(parts=5, text=_per_byte(programs[pattern])), times)
        if "propertyNames" in one:
            self._names[one["propertyNames"].stands_for()] += times
        if "properties" in named or "required" in part.schema:
            self._of_properties = self._of_properties.plus(_NAME_LOOKED_UP, times)
        self._of_all = self._of_all.plus(_COMPARED, times * _containers(part.schema))
        if part.schema.get("uniqueItems") is True:
            self._of_all = self._of_all.plus(_HASHED, times)

    def leads_to(self) -> Iterator[SchemaPart]:
        yield from self._items
        yield from self._properties
        yield from self._names
        for changes in (self._item_changes, self._property_changes):
            for change in changes.values():
                yield from change

    def below(self, above: dict[SchemaPart, Cost], first: bool) -> Cost:
        """The largest cost of a value one level deeper than those of `above`. `first`: it lies directly inside."""
        names = _sum(self._names, above)
        properties = _largest(self._properties, self._property_changes, above)
        items = _largest(self._items, self._item_changes, above)
        if first:
            names = names.plus(self._of_names).plus(self._of_properties)
            properties = properties.plus(self._of_properties)
        return _most((names, properties, items)).plus(self._of_all).within(WORK_MAX)


def _change(
    changes: dict[Any, Counter[SchemaPart]], key: Any, part: SchemaPart, instead_of: SchemaPart | None, times: int
) -> None:
    change = changes.setdefault(key, Counter())
    change[part] += times
    if instead_of:
        change[instead_of] -= times


def _largest(
    parts: Counter[SchemaPart], changes: dict[int | str, Counter[SchemaPart]], above: dict[SchemaPart, Cost]
) -> Cost:
    most = _sum(parts, above)
    return _most((most, *(most.plus(_sum(change, above)) for change in changes.values())))


def _sum(parts: Counter[SchemaPart], costs: dict[SchemaPart, Cost]) -> Cost:
    total = _NOTHING
    for part, times in parts.items():
        total = total.plus(costs[part], times)
    return total


def _most(costs: Iterable[Cost]) -> Cost:
    return Cost(*map(max, zip(*costs, strict=True)))


def _together(part: SchemaPart) -> Counter[SchemaPart]:
    """The part and all parts that it applies to the same value, each with how often it is applied."""
    together: Counter[SchemaPart] = Counter()
    waiting = [(part, 1)]
    while waiting:
        each, times = waiting.pop()
        together[each] += times
        factor = UNEVALUATED_FACTOR if each.unevaluated() else 1
        waiting += [(target, times * factor) for target in each.here()]
    return together


def _own(part: SchemaPart, programs: dict[str, int]) -> Cost:
    """The cost of the keywords of the part itself, for its value."""
    schema = part.schema
    cost = _PART.plus(Cost(parts=len(schema)))
    for word in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
        if word in schema:
            cost = cost.plus(Cost(limits=1) if isinstance(as_whole(schema[word]), int) else Cost(fractions=1))
    if "multipleOf" in schema:
        cost = cost.plus(_equality(schema["multipleOf"]))
    texts, numbers, others = kinds_of(schema.get("enum", []))
    cost = cost.plus(Cost(parts=bool(texts) + 4 * bool(numbers), text=0.05))
    for value in (*others, *([schema["const"]] if "const" in schema else [])):
        cost = cost.plus(_equality(value), 2)
    if "pattern" in schema:
        cost = cost.plus(Cost(parts=5, text=_per_byte(programs[schema["pattern"]])))
    if "integer" in schema.get("type", ()):
        cost = cost.plus(Cost(parts=2))
    names = sum(1 + len(needed) for needed in schema.get("dependentRequired", {}).values())
    return cost.plus(Cost(parts=names + len(schema.get("dependentSchemas", ()))))


def _equality(value: Any) -> Cost:
    """The cost of comparing with a value of the schema. The values inside are paid for apart."""
    (size, *_) = sizes(value)
    return Cost(
        parts=5 if type(value) in (list, dict) else 1,
        fractions=size.whole + size.long + size.fractions + 12 * size.extremes,
        text=0.01,
    )


def _containers(schema: dict[str, Any]) -> int:
    """How many lists and objects of the schema a value is compared with."""
    values = [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else [])]
    return sum(isinstance(value, (list, dict)) for value in values)


def _per_byte(program: int) -> float:
    return 0.3 if program <= SMALL_BYTES else 100 + 0.04 * program
