"""Turns YAML 1.2 text into plain data that remembers the line and column of every key and value."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from gslb.config.interpolation import interpolate
from gslb.errors import Place, Problem

KeyPath = tuple[str | int, ...]

MAXIMUM_BYTES = 16 * 1024 * 1024
MAXIMUM_VALUES = 500_000  # after aliases are followed: bounds what a few nested aliases can unfold to
MAXIMUM_DEPTH = 60

_KINDS = {
    "int": ("number", "write plain digits"),
    "float": ("number", "write plain digits"),
    "bool": ("boolean", "write true or false"),
    "null": ("null", "write null"),
}
_TAG = "tag:yaml.org,2002:"
_DIRECTIVE = re.compile(r"%YAML[ \t]+(?!1\.2\b)")
_CONTEXT_WORTH_SAYING = re.compile(r"while (parsing|scanning) an? (.*)")


@dataclass(frozen=True, slots=True)
class Document:
    """A file's data. Mappings become dicts with text keys; numbers, booleans and nulls as YAML 1.2 has them.

    key_marks, value_marks: (line, column) from 1, by path. block_scalars: paths of `|` values.
    from_environment: by path of a scalar, (name, value) of the variables in it. broken: paths whose value
    is useless; a problem says why already, and no second one shall be reported.
    """

    file: str
    lines: int
    data: object = None
    problems: tuple[Problem, ...] = ()
    key_marks: Mapping[KeyPath, tuple[int, int]] = field(default_factory=dict)
    value_marks: Mapping[KeyPath, tuple[int, int]] = field(default_factory=dict)
    scalar_styles: Mapping[KeyPath, str] = field(default_factory=dict)
    from_environment: Mapping[KeyPath, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    broken: frozenset[KeyPath] = frozenset()

    def place(self, path: KeyPath, *, key: bool = False) -> Place:
        """Where the value (or the key) at `path` stands; of its nearest ancestor, if it stands nowhere."""
        if key and path in self.key_marks:
            return self._place(self.key_marks[path])
        while path and path not in self.value_marks:
            path = path[:-1]
        return self._place(self.value_marks.get(path, (1, 1)))

    def _place(self, mark: tuple[int, int]) -> Place:
        return Place(self.file, min(mark[0], self.lines), mark[1])


def parse(text: str, file: str, environment: Mapping[str, str]) -> Document:
    """Read `text`; never raises: whatever is wrong is among the document's problems."""
    lines = max(1, len(text.splitlines()))
    directive = _unsupported_directive(text)
    if directive:
        place = Place(file, directive, 1)
        problem = Problem(place, "only YAML 1.2 is read here", "remove the %YAML directive")
        return Document(file, lines, problems=(problem,))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an anchor defined again is legal YAML 1.2: the later one counts
            root = YAML(typ="safe", pure=True).compose(text)
    except (YAMLError, ValueError, RecursionError) as error:
        return Document(file, lines, problems=(_syntax_problem(error, text, file, lines),))
    if root is None:
        problem = Problem(Place(file, 1, 1), "the file is empty", "a fleet needs at least `regions:`")
        return Document(file, lines, problems=(problem,))
    return _Unfolding(file, lines, environment).document(root)


class _TooMuchError(Exception):
    """The data is too large or too deep to go on."""


class _Unfolding:
    """Walks a node graph once, following aliases, and gathers the data, the marks and the problems."""

    def __init__(self, file: str, lines: int, environment: Mapping[str, str]) -> None:
        self._file = file
        self._lines = lines
        self._environment = environment
        self._problems: list[Problem] = []
        self._key_marks: dict[KeyPath, tuple[int, int]] = {}
        self._value_marks: dict[KeyPath, tuple[int, int]] = {}
        self._styles: dict[KeyPath, str] = {}
        self._from_environment: dict[KeyPath, tuple[tuple[str, str], ...]] = {}
        self._broken: set[KeyPath] = set()
        self._values = 0

    def document(self, root: Node) -> Document:
        try:
            data = self._value(root, (), ())
        except _TooMuchError:
            data = None
        return Document(
            self._file,
            self._lines,
            data,
            tuple(dict.fromkeys(self._problems)),
            self._key_marks,
            self._value_marks,
            self._styles,
            self._from_environment,
            frozenset(self._broken),
        )

    def _value(self, node: Node, path: KeyPath, within: tuple[int, ...]) -> object:
        self._values += 1
        if self._values > MAXIMUM_VALUES:
            self._complain(node, f"more than {MAXIMUM_VALUES} values once aliases are followed")
            raise _TooMuchError
        if id(node) in within:
            return self._useless(node, path, "this alias contains itself")
        if len(within) >= MAXIMUM_DEPTH:
            return self._useless(node, path, f"nested more than {MAXIMUM_DEPTH} levels deep")
        self._value_marks[path] = _mark(node)
        within = (*within, id(node))
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        if isinstance(node, SequenceNode) and node.tag == _TAG + "seq":
            return [self._value(item, (*path, index), within) for index, item in enumerate(node.value)]
        if isinstance(node, MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, path, within)
        return self._useless(node, path, f"the tag {node.tag} has no meaning here", "remove it")

    def _mapping(self, node: MappingNode, path: KeyPath, within: tuple[int, ...]) -> dict[str, object]:
        own: dict[str, Node] = {}
        data: dict[str, object] = {}
        merged: list[Node] = []
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self._complain(
                    key_node, "a key must be a single word or number", "lists and mappings cannot be keys"
                )
                continue
            key = str(key_node.value)
            if key_node.tag == _TAG + "merge":
                merged.append(value_node)
                continue
            if key in own:
                first = own[key].start_mark.line + 1
                self._complain(
                    key_node, f"the key {key!r} is here twice (first in line {first})", "remove one of them"
                )
                continue
            own[key] = key_node
            self._key_marks[(*path, key)] = _mark(key_node)
            data[key] = self._value(value_node, (*path, key), within)
        for source in merged:
            self._merge(source, data, path, within)
        return data

    def _merge(self, source: Node, data: dict[str, object], path: KeyPath, within: tuple[int, ...]) -> None:
        """Add what `<<` brings and `data` lacks: a key of one's own, or of an earlier source, wins."""
        for mapping in self._merge_sources(source, within):
            for key_node, value_node in mapping.value:
                self._values += 1
                if not isinstance(key_node, ScalarNode):
                    continue
                key = str(key_node.value)
                if key_node.tag == _TAG + "merge":
                    self._merge(value_node, data, path, (*within, id(mapping)))
                elif key not in data:
                    self._key_marks[(*path, key)] = _mark(key_node)
                    data[key] = self._value(value_node, (*path, key), within)

    def _merge_sources(self, source: Node, within: tuple[int, ...]) -> Iterator[MappingNode]:
        if self._values > MAXIMUM_VALUES:
            self._complain(source, f"more than {MAXIMUM_VALUES} values once aliases are followed")
            raise _TooMuchError
        for mapping in source.value if isinstance(source, SequenceNode) else [source]:
            if id(mapping) in within:
                self._complain(mapping, "this mapping is merged into itself")
            elif isinstance(mapping, MappingNode):
                yield mapping
            else:
                self._complain(mapping, "`<<` merges mappings, and this is none", "write `<<: *anchor`")

    def _scalar(self, node: ScalarNode, path: KeyPath) -> object:
        kind = str(node.tag).removeprefix(_TAG)
        if kind not in ("str", "int", "float", "bool", "null", "timestamp", "value", "merge"):
            return self._useless(node, path, f"the tag {node.tag} has no meaning here", "remove it")
        if node.style:
            self._styles[path] = str(node.style)
        if kind in _KINDS:
            try:
                return _constant(kind, str(node.value))
            except (KeyError, ValueError, OverflowError):
                return self._useless(node, path, f"this {_KINDS[kind][0]} cannot be read", _KINDS[kind][1])
        outcome = interpolate(str(node.value), self._environment)
        if outcome.taken:
            self._from_environment[path] = outcome.taken
        for name in outcome.missing:
            self._useless(
                node,
                path,
                f"the environment has no variable {name}",
                f"set it, or give it a default: ${{{name}:-default}}",
            )
        if outcome.malformed:
            hint = "write ${NAME} or ${NAME:-default}; for a dollar sign itself write $$"
            self._useless(node, path, "a `${` here does not begin a variable", hint)
        return outcome.text

    def _useless(self, node: Node, path: KeyPath, message: str, hint: str = "") -> object:
        """Report the value and stand in for it; `broken` keeps what follows from it quiet."""
        self._value_marks.setdefault(path, _mark(node))
        self._broken.add(path)
        self._complain(node, message, hint)
        return None

    def _complain(self, node: Node, message: str, hint: str = "") -> None:
        line, column = _mark(node)
        self._problems.append(Problem(Place(self._file, min(line, self._lines), column), message, hint))


def _mark(node: Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _constant(kind: str, text: str) -> int | float | bool | None:
    if kind == "null":
        return None
    if kind == "bool":
        return {"true": True, "false": False}[text.lower()]
    plain = text.replace("_", "")
    if kind == "float":
        return float(plain.lower().replace(".inf", "inf").replace(".nan", "nan"))
    digits = plain.lstrip("+-").lower()
    number = int(digits, 0) if digits.startswith(("0o", "0x", "0b")) else int(digits)
    if number >= 2**63:
        raise OverflowError
    return -number if plain.startswith("-") else number


def _unsupported_directive(text: str) -> int:
    """The line of a %YAML directive for another version than 1.2 (in 1.1, Norway's NO means false), or 0."""
    for number, line in enumerate(text.splitlines(), 1):
        if _DIRECTIVE.match(line):
            return number
        if line.strip() and not line.startswith(("#", "%")):
            return 0
    return 0


def _syntax_problem(error: Exception, text: str, file: str, lines: int) -> Problem:
    if isinstance(error, RecursionError):
        return Problem(Place(file, 1, 1), f"nested more than {MAXIMUM_DEPTH} levels deep")
    if isinstance(error, ReaderError):
        before = text[: int(error.position)]
        place = Place(file, min(before.count("\n") + 1, lines), len(before) - (before.rfind("\n") + 1) + 1)
        return Problem(
            place, f"the character U+{ord(text[int(error.position)]):04X} is not allowed in YAML", "remove it"
        )
    if not isinstance(error, MarkedYAMLError):
        return Problem(Place(file, 1, 1), f"not valid YAML: {error}")
    mark = error.problem_mark or error.context_mark
    if error.context_mark and mark.line >= lines:
        mark = error.context_mark  # what the end of the file left open
    place = Place(file, min(mark.line + 1, lines), mark.column + 1) if mark else Place(file, 1, 1)
    message, hint = _plain_words(str(error.problem or error.context or ""))
    context = _CONTEXT_WORTH_SAYING.match(str(error.context or ""))
    if context and error.context_mark and error.context_mark.line + 1 != place.line:
        message += f", in the {context[2]} that begins in line {error.context_mark.line + 1}"
    return Problem(place, message, hint)


def _plain_words(problem: str) -> tuple[str, str]:
    """ruamel's words made into a sentence of ours and a remedy, where we know better."""
    if "'\\t'" in problem:
        return "a tab cannot indent in YAML", "use spaces"
    if "another document" in problem:
        return "a second YAML document begins here", "keep the whole fleet in one document: remove the `---`"
    if problem.startswith("mapping values are not allowed"):
        return "a second `: ` on this line", "put the value in quotes, or the key on a line of its own"
    if problem.startswith("found undefined alias '."):
        return (
            "an alias (`*name`) of what has no anchor",
            'a name that begins with * stands in quotes: "*.apps"',
        )
    if problem.startswith("found undefined alias"):
        return problem.replace(
            "found undefined alias", "no anchor goes by the name of the alias"
        ), "define it above with &"
    if "that cannot start any token" in problem:
        return problem.replace("found character", "a value cannot begin with").replace(
            " that cannot start any token", ""
        ), "put the value in quotes"
    if problem.endswith("but got '{'"):
        return "a `{` where none can be", 'inside [ ] and { } put variables in quotes: "${NAME}"'
    if problem == "found unexpected end of stream":
        return "the file ends inside a quoted text", "close the quotes"
    if problem.startswith("could not find expected ':'"):
        return "a key without a `:`", "write `key: value`"
    return f"not valid YAML: {problem}", "look at the indentation and the brackets above"
