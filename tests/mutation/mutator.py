"""Small wrong versions of a module, one change each, made from its syntax tree.

Changed are comparisons, and/or, not, arithmetic, constants (numbers, strings, booleans), conditions, raise, continue,
break, calls that are statements, assignments, any/all and returned values. Left alone are docstrings, ``__all__``,
annotations and texts for people (the reason of a refusal, the message of an exception), on which no rule depends.
"""

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

COMPARISONS: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Mod: ast.Mult,
}
BUILTINS: Final = {"any": "all", "all": "any", "min": "max", "max": "min"}
STRINGS: Final = {"NFC": "NFKC"}
"""Strings with a wrong neighbour worth trying besides a meaningless one."""

TEXT_ARGUMENTS: Final = {"GateRefusal": 1, "InvalidNHSNumber": 0}
"""Position of the text for people in the calls that take one."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One wrong version: where, what, and the code of the whole module."""

    key: str
    tree: ast.Module

    def compiled(self, filename: str) -> object:
        """The code object of the wrong version."""
        return compile(self.tree, filename, "exec")


def source_of(module: ModuleType) -> str:
    """The text of a module."""
    assert module.__file__ is not None
    return Path(module.__file__).read_text(encoding="utf-8")


def mutants(source: str) -> Iterator[Mutant]:
    """Every mutant of the source; a key names place and change, and survives edits elsewhere in the file."""
    original = ast.parse(source)
    skipped = {id(node) for node in _texts(original)}
    seen: dict[str, int] = {}
    for index, node in enumerate(ast.walk(original)):
        if id(node) in skipped:
            continue
        owner = _owner(original, node)
        for number, (label, _) in enumerate(_changes(node)):
            tree = copy.deepcopy(original)
            # The walk of a copy meets the copies in the same order; its changes are made on the copy.
            twin = next(twin for place, twin in enumerate(ast.walk(tree)) if place == index)
            changed = list(_changes(twin))[number][1]
            tree = ast.fix_missing_locations(_replace(tree, twin, changed))
            key = f"{owner}: {label}"
            seen[key] = seen.get(key, 0) + 1
            yield Mutant(key if seen[key] == 1 else f"{key} #{seen[key]}", tree)


def _owner(tree: ast.Module, wanted: ast.AST) -> str:
    """The name of the top-level definition that holds a node."""
    for statement in tree.body:
        if any(node is wanted for node in ast.walk(statement)):
            return getattr(statement, "name", "module")
    return "module"


def _texts(tree: ast.Module) -> Iterator[ast.AST]:
    """Nodes that are for people or type checkers only, with everything below them."""
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant()) | ast.Assign(targets=[ast.Name(id="__all__")]):
                yield from ast.walk(node)
            case ast.ClassDef(bases=[ast.Name(id="Enum")]):
                yield from ast.walk(node)
            case ast.Call(func=ast.Name(id=name)) if name in TEXT_ARGUMENTS:
                yield from ast.walk(node.args[TEXT_ARGUMENTS[name]])
            case ast.FunctionDef(returns=ast.expr() as annotation):
                yield from ast.walk(annotation)
            case ast.arg(annotation=ast.expr() as annotation) | ast.AnnAssign(annotation=annotation):
                yield from ast.walk(annotation)


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """The changes of one node: a label and the node to put in its place (the same one, altered, where that is less)."""
    text = ast.unparse(node) if isinstance(node, ast.expr | ast.stmt) else ""
    line = text.partition("\n")[0]
    match node:
        case ast.Compare():
            for place, operator in enumerate(node.ops):
                for other in COMPARISONS[type(operator)]:
                    ops = [other() if at == place else op for at, op in enumerate(node.ops)]
                    yield f"{line} -> {other.__name__}", ast.Compare(node.left, ops, node.comparators)
        case ast.BoolOp():
            swapped = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield f"{line} -> {type(swapped).__name__}", ast.BoolOp(swapped, node.values)
            for place, value in enumerate(node.values):
                rest = [other for at, other in enumerate(node.values) if at != place]
                kept = rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
                yield f"{line} -> without {ast.unparse(value)}", kept
        case ast.UnaryOp(op=ast.Not()):
            yield f"{line} -> without not", node.operand
        case ast.BinOp() if type(node.op) in ARITHMETIC:
            operation = ARITHMETIC[type(node.op)]
            yield f"{line} -> {operation.__name__}", ast.BinOp(node.left, operation(), node.right)
        case ast.Constant(value=bool() as flag):
            yield f"{line} -> negated", ast.Constant(not flag)
        case ast.Constant(value=int() as figure):
            for near in (figure + 1, figure - 1):
                yield f"{line} -> {near}", ast.Constant(near)
        case ast.Constant(value=str() as word):
            for wrong in (word + "?", *([STRINGS[word]] if word in STRINGS else ())):
                yield f"{line} -> {wrong!r}", ast.Constant(wrong)
        case ast.If() | ast.IfExp():
            for forced in (True, False):
                changed = copy.copy(node)
                changed.test = ast.Constant(forced)
                yield f"{line} -> {forced}", changed
        case ast.comprehension(ifs=[_, *_]):
            label = f"if {ast.unparse(node.ifs[0])} -> dropped"
            yield label, ast.comprehension(node.target, node.iter, [], node.is_async)
        case ast.Call(func=ast.Name(id=name)) if name in BUILTINS:
            function = ast.Name(BUILTINS[name], ast.Load())
            yield f"{line} -> {BUILTINS[name]}", ast.Call(function, node.args, node.keywords)
        case ast.Raise() | ast.Continue() | ast.Break() | ast.Expr(value=ast.Call()) | ast.Assign():
            yield f"{line} -> pass", ast.Pass()
        case ast.Return(value=ast.expr() as value):
            yield f"{line} -> None", ast.Return(ast.Constant(None))
            yield f"{line} -> not", ast.Return(ast.UnaryOp(ast.Not(), value))
            if isinstance(value, ast.Attribute) and isinstance(value.value, ast.Name) and value.value.id == "Verdict":
                for member in ("RULE_1", "RULE_2", "NOT_VERIFIED"):
                    if member != value.attr:
                        yield f"{line} -> {member}", ast.Return(ast.Attribute(value.value, member, ast.Load()))


class _Replacer(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else self.generic_visit(node)


def _replace(tree: ast.Module, old: ast.AST, new: ast.AST) -> ast.Module:
    changed = _Replacer(old, new).visit(tree)
    assert isinstance(changed, ast.Module)
    return changed
