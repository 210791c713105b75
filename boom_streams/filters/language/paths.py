"""What a pipeline can read of an alert: found by going backwards from what it gives out.

* A *demand* is a set of paths below a value; the empty path is the value as a whole
* Going backwards, a stage turns the demand on its output into one on its input, a ``$map`` that on its result into
  one on its array, and so on; an operator that is not known to pass parts through demands its arguments whole
* The answer may be too large, never too small

Light curves can be long and have many columns, so only the fields that a filter reads are put before it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from boom_streams.filters.language.validate import Stage, excludes, is_one
from boom_streams.surveys import Survey

__all__ = ["Needs", "inputs", "needs", "reads", "sets", "union"]

Path: TypeAlias = tuple[str, ...]
Demand: TypeAlias = frozenset[Path]
Binding: TypeAlias = dict[str, set[Path]]

_WHOLE: Demand = frozenset({()})
_NONE: Demand = frozenset()
#: A path that no document has: demands that a value is there, as an array of its length, and nothing in it.
_SHAPE: Demand = frozenset({("",)})

#: Operators that give an element or a selection of their first argument, with the rest read whole.
_FIRST_ARGUMENT = frozenset({"$arrayElemAt", "$slice", "$first", "$last", "$reverseArray"})
_EVERY_ARGUMENT = frozenset({"$concatArrays", "$ifNull", "$mergeObjects"})
_LENGTH = frozenset({"$size", "$isArray"})


@dataclass(frozen=True)
class Needs:
    """What must be in a document for a pipeline to give what it gives on the whole document.

    Attributes
    ----------
    inputs
        Top-level fields, of those that `inputs` lists.
    series
        Fields of the points of each light curve among `inputs`; None means all of them.
    """

    inputs: frozenset[str]
    series: Mapping[str, frozenset[str] | None]


def inputs(survey: Survey) -> tuple[str, ...]:
    """Everything that a filter of a survey can ask for, besides ``_id``."""
    alert = ("objectId", *survey.document, "candidate", "coordinates")
    return (*alert, "properties", "classifications", *survey.series, "cross_matches", "aliases")


def needs(pipeline: Sequence[Stage], survey: Survey) -> Needs:
    """Analyse a validated pipeline of a survey."""
    demand = reads(pipeline)
    whole = () in demand
    known = frozenset(inputs(survey))
    wanted = known if whole else frozenset(path[0] for path in demand) & known
    series: dict[str, frozenset[str] | None] = {}
    for name in survey.series:
        if name in wanted:
            below = [path[1:] for path in demand if path and path[0] == name]
            series[name] = None if whole or () in below else frozenset(path[0] for path in below if path[0])
    return Needs(wanted, series)


def reads(pipeline: Sequence[Stage]) -> set[Path]:
    """Paths that a validated pipeline reads of a document; an empty part stands for an array's length."""
    demand: set[Path] = {("_id",), ("objectId",), ("annotations",)}
    for stage in reversed(pipeline):
        ((name, body),) = stage.items()
        demand = _STAGES[name](body, demand)
    return demand


def sets(pipeline: Sequence[Stage]) -> set[Path]:
    """Paths to which a pipeline's stages give values of their own."""
    setting = [(name, body) for stage in pipeline for name, body in stage.items() if _STAGES[name] in _SETTING]
    return {
        path for name, body in setting for path, value in _leaves(body, ()) if name != "$project" or not is_one(value)
    }


def union(several: Iterable[Needs]) -> Needs:
    """What all of these need together."""
    wanted: frozenset[str] = frozenset()
    series: dict[str, frozenset[str] | None] = {}
    for one in several:
        wanted |= one.inputs
        for name, fields in one.series.items():
            known = series.get(name, frozenset())
            series[name] = None if fields is None or known is None else known | fields
    return Needs(wanted, series)


def _split(text: str) -> Path:
    """Parts of a dotted path; an array index ends it, as does what is no path."""
    parts: list[str] = []
    for part in text.split("."):
        if not part or part.isdigit():
            break
        parts.append(part)
    return tuple(parts)


def _below(demand: Iterable[Path], path: Path) -> Demand:
    """Demands at or below `path`, relative to it; a demand on what encloses it is one on the whole."""
    found = set()
    for wanted in demand:
        if wanted[: len(path)] == path:
            found.add(wanted[len(path) :])
        elif path[: len(wanted)] == wanted:
            found.add(())
    return frozenset(found)


# Stages: body, demand on the output -> demand on the input


def _match(body: Any, demand: set[Path]) -> set[Path]:
    return demand | _query(body, ())


def _query(query: Mapping[str, Any], prefix: Path) -> set[Path]:
    found: set[Path] = set()
    for key, value in query.items():
        if key in ("$and", "$or", "$nor"):
            for item in value:
                found |= _query(item, prefix)
        elif key == "$expr":
            found |= _root(value, _WHOLE)
        else:
            path = _split(key)
            inner = value.get("$elemMatch") if isinstance(value, dict) and len(value) == 1 else None
            exact = len(path) == len(key.split("."))
            if exact and isinstance(inner, dict) and inner and not any(k.startswith("$") for k in inner):
                found |= _query(inner, prefix + path)
            else:
                found.add(prefix + path)
    return found


def _add_fields(body: Mapping[str, Any], demand: set[Path]) -> set[Path]:
    replaced = {
        key for key, value in body.items() if "." not in key and (not isinstance(value, dict) or _is_operator(value))
    }
    found = {path for path in demand if not path or path[0] not in replaced}
    for path, value in _leaves(body, ()):
        found |= _root(value, _below(demand, path))
        found |= {(*path[:length], "") for length in range(1, len(path))}
    return found


def _project(body: Mapping[str, Any], demand: set[Path]) -> set[Path]:
    if excludes(body):
        return demand
    found: set[Path] = {("_id",)}
    for path, value in _leaves(body, ()):
        wanted = _below(demand, path)
        if is_one(value):
            found |= {path + rest for rest in wanted}
        else:
            found |= _root(value, wanted)
        found |= {(*path[:length], "") for length in range(1, len(path))}
    return found


def _leaves(body: Mapping[str, Any], prefix: Path) -> Iterable[tuple[Path, Any]]:
    """What each field is set to; an object without operators is a way of writing dotted names."""
    for key, value in body.items():
        path = prefix + tuple(key.split("."))
        if isinstance(value, dict) and value and not _is_operator(value):
            yield from _leaves(value, path)
        else:
            yield path, value


def _unset(body: Any, demand: set[Path]) -> set[Path]:
    return demand


def _replace_root(body: Any, demand: set[Path]) -> set[Path]:
    return _replace_with(body["newRoot"], demand)


def _replace_with(body: Any, demand: set[Path]) -> set[Path]:
    return demand | _root(body, frozenset(demand))


_STAGES: Mapping[str, Callable[[Any, set[Path]], set[Path]]] = {
    "$match": _match,
    "$project": _project,
    "$addFields": _add_fields,
    "$set": _add_fields,
    "$unset": _unset,
    "$replaceRoot": _replace_root,
    "$replaceWith": _replace_with,
}

#: Stages that give values to fields.
_SETTING = (_add_fields, _project)


# Expressions: a demand on the result -> demands on variables; the document itself is the variable ROOT


def _root(expression: Any, demand: Demand) -> set[Path]:
    return _visit(expression, demand).get("ROOT", set())


def _merge(bindings: Iterable[Binding]) -> Binding:
    merged: Binding = {}
    for binding in bindings:
        for name, paths in binding.items():
            merged.setdefault(name, set()).update(paths)
    return merged


def _is_operator(value: Mapping[str, Any]) -> bool:
    return any(key.startswith("$") for key in value)


def _visit(expression: Any, demand: Demand) -> Binding:
    if isinstance(expression, str):
        return _variable(expression, demand)
    if isinstance(expression, list):
        return _merge(_visit(item, demand) for item in expression)
    if not isinstance(expression, dict) or not expression:
        return {}
    if not _is_operator(expression):
        return _merge(_visit(item, _below(demand, (key,))) for key, item in expression.items())
    ((name, body),) = expression.items()
    if name == "$literal":
        return {}
    special = _SPECIAL.get(name)
    if special is not None and isinstance(body, dict):
        return special(body, demand)
    return _visit_arguments(name, body if isinstance(body, list) else [body], body, demand)


def _visit_arguments(name: str, arguments: Sequence[Any], body: Any, demand: Demand) -> Binding:
    """What an operator's arguments name, as far as the operator passes the demand on to them."""
    if name in _LENGTH:
        return _merge(_visit(item, _SHAPE) for item in arguments)
    if name in _EVERY_ARGUMENT:
        return _merge(_visit(item, demand | _SHAPE) for item in arguments)
    if name in _FIRST_ARGUMENT and arguments:
        return _merge([_visit(arguments[0], demand | _SHAPE), *(_visit(item, _WHOLE) for item in arguments[1:])])
    if name == "$cond" and len(arguments) == 3:
        test, *results = arguments
        return _merge([_visit(test, _WHOLE), *(_visit(item, demand) for item in results)])
    return _arguments(body)


def _arguments(body: Any) -> Binding:
    """Everything that arguments name, whole; named arguments are no object's fields."""
    if isinstance(body, dict) and not _is_operator(body):
        return _merge(_arguments(item) for item in body.values())
    if isinstance(body, list):
        return _merge(_arguments(item) for item in body)
    return _visit(body, _WHOLE)


def _variable(text: str, demand: Demand) -> Binding:
    if text.startswith("$$"):
        name, _, rest = text[2:].partition(".")
        name = "ROOT" if name == "CURRENT" else name
    elif text.startswith("$"):
        name, rest = "ROOT", text[1:]
    else:
        return {}
    path = _split(rest) if rest else ()
    if rest and len(path) < len(rest.split(".")):
        demand = _WHOLE
    return {name: {path + wanted for wanted in demand}}


def _let(body: Mapping[str, Any], demand: Demand) -> Binding:
    inside = _visit(body.get("in"), demand)
    return _bind(inside, body.get("vars") or {})


def _bind(inside: Binding, variables: Mapping[str, Any]) -> Binding:
    """Replace demands on variables by those on the expressions that they stand for."""
    outer = {name: paths for name, paths in inside.items() if name not in variables}
    return _merge([outer, *(_visit(value, frozenset(inside.get(name, ()))) for name, value in variables.items())])


def _loop(body: Mapping[str, Any], inside: Binding, kept: Collection[Path] = ()) -> Binding:
    """Demand on the array of a loop: what is read of its elements, its length, and what of them is `kept`."""
    name = str(body.get("as", "this"))
    elements = frozenset(inside.pop(name, ())) | frozenset(kept) | _SHAPE
    return _merge([inside, _visit(body.get("input"), elements)])


def _map(body: Mapping[str, Any], demand: Demand) -> Binding:
    return _loop(body, _visit(body.get("in"), demand))


def _filter(body: Mapping[str, Any], demand: Demand) -> Binding:
    limit = _visit(body.get("limit"), _WHOLE)
    return _merge([limit, _loop(body, _visit(body.get("cond"), _WHOLE), demand)])


def _reduce(body: Mapping[str, Any], demand: Demand) -> Binding:
    wanted = demand | _SHAPE
    for _ in range(8):
        inside = _visit(body.get("in"), wanted)
        grown = wanted | frozenset(inside.get("value", ()))
        if grown == wanted:
            break
        wanted = grown
    else:
        wanted = _WHOLE
        inside = _visit(body.get("in"), wanted)
    inside.pop("value", None)
    return _merge([_visit(body.get("initialValue"), wanted), _loop({"input": body.get("input")}, inside)])


def _sort_array(body: Mapping[str, Any], demand: Demand) -> Binding:
    by = body.get("sortBy")
    keys = frozenset(_split(key) for key in by) if isinstance(by, dict) else _WHOLE
    return _visit(body.get("input"), demand | keys | _SHAPE)


def _named_cond(body: Mapping[str, Any], demand: Demand) -> Binding:
    return _merge([_visit(body.get("if"), _WHOLE), _visit(body.get("then"), demand), _visit(body.get("else"), demand)])


_SPECIAL: Mapping[str, Callable[[Mapping[str, Any], Demand], Binding]] = {
    "$let": _let,
    "$map": _map,
    "$filter": _filter,
    "$reduce": _reduce,
    "$sortArray": _sort_array,
    "$cond": _named_cond,
}
