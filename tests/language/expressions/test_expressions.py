"""Expressions: trees and values equal those of Python's parser; limits; faults with positions in the text."""

import ast
import math
import operator
import random
from functools import reduce
from typing import Any

import pytest

from kerascli.language.expressions import ExpressionError, evaluate, names_in, parse, substitute
from kerascli.language.expressions.numbers import FUNCTIONS
from kerascli.language.expressions.tree import (
    Binary,
    Call,
    Comparison,
    Conditional,
    Everything,
    Index,
    Items,
    Literal,
    Name,
    Node,
    Slice,
    Unary,
)
from tests.support.bounds import cpu_seconds

_BINARY: dict[type, tuple[str, Any]] = {
    ast.Add: ("+", operator.add), ast.Sub: ("-", operator.sub), ast.Mult: ("*", operator.mul),
    ast.Div: ("/", operator.truediv), ast.FloorDiv: ("//", operator.floordiv), ast.Mod: ("%", operator.mod),
    ast.Pow: ("**", operator.pow), ast.MatMult: ("@", operator.matmul),
}  # fmt: skip
_UNARY: dict[type, tuple[str, Any]] = {
    ast.USub: ("-", operator.neg), ast.UAdd: ("+", operator.pos), ast.Not: ("not", operator.not_),
}  # fmt: skip
_COMPARE: dict[type, tuple[str, Any]] = {
    ast.Lt: ("<", operator.lt), ast.LtE: ("<=", operator.le), ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge), ast.Eq: ("==", operator.eq), ast.NotEq: ("!=", operator.ne),
}  # fmt: skip


def ours(node: Node | None) -> Any:  # noqa: C901 (a case a node)
    """Return our tree as nested tuples, without positions."""
    match node:
        case None:
            return None
        case Literal():
            return ("literal", type(node.value).__name__, node.value)
        case Name():
            return ("name", node.name)
        case Everything():
            return ("literal", "ellipsis", ...)
        case Unary():
            return (node.operator, ours(node.operand))
        case Binary():
            return (node.operator, ours(node.left), ours(node.right))
        case Comparison():
            return ("compare", node.operators, tuple(map(ours, node.operands)))
        case Conditional():
            return ("if", ours(node.test), ours(node.then), ours(node.otherwise))
        case Call():
            keywords = tuple((keyword.name, ours(keyword.value)) for keyword in node.keywords)
            return ("call", node.function, tuple(map(ours, node.arguments)), keywords)
        case Index():
            return ("index", ours(node.value), tuple(map(ours, node.items)))
        case Slice():
            return ("slice", ours(node.start), ours(node.stop), ours(node.step))
        case Items():
            return ("tuple" if node.is_tuple else "list", tuple(map(ours, node.items)))
    raise AssertionError(node)


def pythons(node: ast.AST | None) -> Any:  # noqa: C901
    """Return Python's tree as the same nested tuples."""
    match node:
        case None:
            return None
        case ast.Expression():
            return pythons(node.body)
        case ast.Constant():
            return ("literal", type(node.value).__name__, node.value)
        case ast.Name():
            return ("name", node.id)
        case ast.Attribute():
            return ("name", f"{pythons(node.value)[1]}.{node.attr}")
        case ast.UnaryOp():
            return (_UNARY[type(node.op)][0], pythons(node.operand))
        case ast.BinOp():
            return (_BINARY[type(node.op)][0], pythons(node.left), pythons(node.right))
        case ast.BoolOp():
            name = "and" if isinstance(node.op, ast.And) else "or"
            folded = pythons(node.values[0])
            for value in node.values[1:]:
                folded = (name, folded, pythons(value))
            return folded
        case ast.Compare():
            operators = tuple(_COMPARE[type(op)][0] for op in node.ops)
            return ("compare", operators, tuple(map(pythons, [node.left, *node.comparators])))
        case ast.IfExp():
            return ("if", pythons(node.test), pythons(node.body), pythons(node.orelse))
        case ast.Call():
            keywords = tuple((str(word.arg), pythons(word.value)) for word in node.keywords)
            return ("call", pythons(node.func)[1], tuple(map(pythons, node.args)), keywords)
        case ast.Subscript():
            items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            return ("index", pythons(node.value), tuple(map(pythons, items)))
        case ast.Slice():
            return ("slice", pythons(node.lower), pythons(node.upper), pythons(node.step))
        case ast.List() | ast.Tuple():
            return ("tuple" if isinstance(node, ast.Tuple) else "list", tuple(map(pythons, node.elts)))
    raise AssertionError(ast.dump(node))


def value_by_python(node: ast.AST, names: dict[str, Any]) -> Any:  # noqa: C901
    """Evaluate an expression over numbers by walking Python's tree."""

    def value(part: ast.AST) -> Any:
        return value_by_python(part, names)

    match node:
        case ast.Expression():
            return value(node.body)
        case ast.Constant():
            return node.value
        case ast.Name():
            return names[node.id]
        case ast.UnaryOp():
            return _UNARY[type(node.op)][1](value(node.operand))
        case ast.BinOp():
            return _BINARY[type(node.op)][1](value(node.left), value(node.right))
        case ast.BoolOp():
            first, *rest = node.values
            result = value(first)
            for part in rest:
                if bool(result) is isinstance(node.op, ast.Or):
                    return result
                result = value(part)
            return result
        case ast.Compare():
            parts = [value(part) for part in [node.left, *node.comparators]]
            tests = zip(node.ops, parts, parts[1:], strict=False)
            return all(_COMPARE[type(op)][1](a, b) for op, a, b in tests)
        case ast.IfExp():
            return value(node.body if value(node.test) else node.orelse)
    raise AssertionError(ast.dump(node))


def attempt(text: str, names: dict[str, Any]) -> tuple[Any, ExpressionError | None]:
    try:
        return evaluate(parse(text), names), None
    except ExpressionError as error:
        return None, error


class Writer:
    """Generator of random expressions as text, with few brackets."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def numeric(self, depth: int) -> str:
        pick = self.random.random
        if depth == 0 or pick() < 0.15:
            return self.random.choice(["0", "1", "2", "3", "7", "0.5", "2.5", "1e-3", ".25", "4.", "a", "b", "True"])
        left, right = self.numeric(depth - 1), self.numeric(depth - 1)
        kind = pick()
        if kind < 0.45:
            text = f"{left} {self.random.choice(['+', '-', '*', '/', '//', '%', '**'])} {right}"
        elif kind < 0.6:
            text = f"{self.random.choice(['-', '+', '- '])}{left}"
        elif kind < 0.7:
            sign, other = self.random.choice(["<", "<=", ">", ">=", "==", "!="]), self.numeric(depth - 1)
            text = f"{left} {sign} {right}" + (f" < {other}" if pick() < 0.3 else "")
        elif kind < 0.8:
            text = f"{left} {self.random.choice(['and', 'or'])} {right}"
        elif kind < 0.85:
            return f"(not {left})"
        elif kind < 0.95:
            text = f"{left} if {right} else {self.numeric(depth - 1)}"
        else:
            text = left
        return f"({text})" if pick() < 0.5 else text

    def any(self, depth: int) -> str:
        pick = self.random.random()
        if depth == 0 or pick < 0.4:
            return self.numeric(min(depth, 2)) if pick < 0.3 else self.random.choice(["z.mean", "'same'", "None", "x"])
        parts = [self.any(depth - 1) for _ in range(3)]
        if pick < 0.55:
            return f"({parts[0]}) @ ({parts[1]})"
        if pick < 0.7:
            return f"mean({parts[0]}, ({parts[1]}), axis=-1, keepdims={parts[2]})"
        if pick < 0.8:
            low = self.random.choice(["", "1", "-1"])
            return f"x[{low}:, ..., ({parts[0]}), {low}:3:2, None]"
        if pick < 0.9:
            return f"[{parts[0]}, {parts[1]}]"
        return f"({parts[0]}, {parts[1]},)"


def test_every_tree_is_the_one_that_python_makes() -> None:
    writer = Writer(0)
    for _ in range(3000):
        text = writer.any(3)
        try:
            python = ast.parse(text, mode="eval")
        except SyntaxError:
            with pytest.raises(ExpressionError):
                parse(text)
            continue
        assert ours(parse(text)) == pythons(python), text


def test_every_value_is_the_one_that_python_computes() -> None:
    writer, names, seen = Writer(1), {"a": 3, "b": -1.5}, 0
    for _ in range(4000):
        text = writer.numeric(4)
        try:
            python = ast.parse(text, mode="eval")
        except SyntaxError:
            with pytest.raises(ExpressionError):
                parse(text)
            continue
        try:
            expected = value_by_python(python, names)
        except (ZeroDivisionError, OverflowError, TypeError):  # TypeError: complex numbers on the way
            expected = math.nan
        bad = isinstance(expected, complex) or not math.isfinite(expected) or abs(expected) > 10**18
        if bad or (isinstance(expected, int) and expected.bit_length() > 59):
            continue
        got, error = attempt(text, names)
        if error is not None:  # Python may pass through an infinity or a complex number on the way to a finite one
            assert any(word in error.text for word in ("too large", "finite", "expected a number")), text
            continue
        assert type(got) is type(expected), text
        assert got == expected, text
        seen += 1
    assert seen > 2000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sqrt(2)", math.sqrt(2)), ("exp(1) - e", 0.0), ("log(8, 2)", math.log(8, 2)), ("log2(8)", 3.0),
        ("log10(1000)", math.log10(1000)), ("floor(-1.5)", -2), ("ceil(1.2)", 2), ("int(-1.7)", -1),
        ("float(2)", 2.0), ("round(2.5)", 2), ("round(2.567, 2)", 2.57), ("abs(-3)", 3), ("pow(2, 10)", 1024),
        ("sin(pi / 2)", 1.0), ("cos(0)", 1.0), ("tan(0)", 0.0), ("min(3, 2.5)", 2.5), ("max([1, 5, 2])", 5),
        ("sum([1, 2, 3])", 6), ("len(shape)", 3), ("shape[1:]", [8, 9]), ("shape[-1]", 9), ("shape[::2]", [7, 9]),
        ("(1, 2)", [1, 2]), ("'same'", "same"), ("true and not false", True), ("none", None),
        ("kind == 'a'", True), ("targets.y.num_classes + 1", 11),
    ],
)  # fmt: skip
def test_functions_lists_and_names_have_their_values(text: str, expected: Any) -> None:
    names = {"shape": [7, 8, 9], "kind": "a", "targets.y.num_classes": 10}
    value = evaluate(parse(text), names)
    assert value == expected
    assert type(value) is type(expected)


def test_a_name_hides_a_constant_of_that_name() -> None:
    assert evaluate(parse("e + pi"), {"e": 1, "pi": 2}) == 3


@pytest.mark.parametrize(
    ("text", "message", "column", "length"),
    [
        ("", "expected a value, got the end", 1, 1),
        ("1 +", "expected a value, got the end", 4, 1),
        ("(1", "expected ')', got the end", 3, 1),
        ("1)", "expected an operator, got ')'", 2, 1),
        ("a b", "expected an operator, got 'b'", 3, 1),
        ("1 if a", "expected 'else', got the end", 7, 1),
        ("x = 1", "'=' gives a keyword argument its value inside a call; equality is '=='", 3, 1),
        ("2 ^ 3", "unexpected '^'; a power is written '**'", 3, 1),
        ("a & b", "unexpected '&'; write 'and'", 3, 1),
        ("~a", "unexpected '~'; write 'not'", 1, 1),
        ("a \u2212 b", "unexpected '\u2212'", 3, 1),
        ("größe", "unexpected 'ö'; names have the letters a to z, digits and '_'", 3, 1),
        ("a <> b", "expected a value, got '>'", 4, 1),
        ("a, b", "expected an operator, got ','", 2, 1),
        ("units.shape", "unknown name 'units.shape'; write shape(units)", 1, 11),
        ("np.sqrt(2)", "functions are written without a module; write sqrt(...)", 1, 7),
        ("keras.random.normal(2)", "functions are written without a module; write random_normal(...)", 1, 19),
        ("a \x1b b", "unexpected '\\x1b'", 3, 1),
        ("'open", "a quoted text that is not closed, or contains a backslash", 1, 1),
        ("2x", "a number cannot end in 'x'", 2, 1),
        ("0777", "ambiguous number '0777': no leading zeros", 1, 4),
        ("1e999", "'1e999' is not a finite number", 1, 5),
        ("9999999999999999999", "an integer is at most 10^18", 1, 19),
        ("f(x)(y)", "only a function can be called, by its name", 5, 1),
        ("z.sum()", "methods are not supported; write sum(z, ...)", 1, 5),
        ("f(a=1, a=2)", "the argument 'a' is given twice", 8, 1),
        ("f(a=1, 2)", "an argument without a name cannot follow one with a name", 8, 1),
        ("x[]", "expected an index, got ']'", 3, 1),
        ("lambda: 1", "expected an operator, got ':'", 7, 1),
        ("2 * not a", "expected a value, got 'not'", 5, 3),
        ("unitz + 1", "unknown name 'unitz'; did you mean 'units'?", 1, 5),
        ("1 + qqq", "unknown name 'qqq'", 5, 3),
        ("sqr(2)", "there is no function 'sqr' of numbers; did you mean 'sqrt'?", 1, 3),
        ("__import__('os')", "there is no function '__import__' of numbers", 1, 10),
        ("sqrt(1, 2)", "sqrt takes 1 argument, got 2", 1, 4),
        ("min()", "min takes 1 or more arguments, got 0", 1, 3),
        ("round(1.5, digits=1)", "round takes no argument named 'digits'", 12, 6),
        ("1 / 0", "division by zero", 3, 1),
        ("sqrt(-1)", "not defined for -1", 1, 4),
        ("(-1) ** 0.5", "the result is not a finite number", 6, 2),
        ("exp(1000)", "the result is too large", 1, 3),
        ("1e308 * 10", "the result is not a finite number", 7, 1),
        ("10 ** 18 * 2", "the result is out of range: an integer is at most 10^18", 10, 1),
        ("'a' + 1", "expected a number, got the text 'a'", 5, 1),
        ("units < 'a'", "'<' cannot compare 128 with the text 'a'", 7, 1),
        ("units @ 2", "'@' takes tensors, not numbers", 7, 1),
        ("[1, 2][5]", "index 5 is out of range for a list of 2", 8, 1),
        ("units[0]", "only a list can be indexed, got 128", 6, 1),
        ("[1][::0]", "the step of a slice cannot be 0", 5, 1),
        ("[1][0.5]", "expected an integer, got 0.5", 5, 3),
        ("sum(3)", "sum expected a list, got 3", 1, 3),
        ("round(5, -1000000000)", "not defined for 5, -1000000000", 1, 5),
    ],
)  # fmt: skip
def test_a_fault_says_what_is_wrong_and_points_at_it(text: str, message: str, column: int, length: int) -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluate(parse(text), {"units": 128})
    assert (caught.value.text, caught.value.column, caught.value.length) == (message, column, length)


@pytest.mark.parametrize(
    "text",
    [
        "10 ** 10 ** 10", "9 ** 9 ** 9 ** 9", "2 ** (10 ** 18)", "(2 ** 500) ** 500", "round(7, -10 ** 18)",
        "(" * 1000 + "1" + ")" * 1000, "-" * 1900 + "1", "not " * 450 + "1", "f(" * 600,
        "[" * 900, "1" * 2001, "1" + "+1" * 5000, "x" + "[0]" * 3000,
        "x" + "[0]" * 600, "1 if 1 else " * 200 + "1", "2 ** " * 300 + "2",
        " * ".join(["(10 ** 18)"] * 100),
    ],
)  # fmt: skip
def test_bombs_are_refused_at_once(text: str) -> None:
    with pytest.raises(ExpressionError), cpu_seconds():  # a bomb takes minutes
        evaluate(parse(text), {"x": [1]})


def test_a_chain_of_150_operands_is_evaluated() -> None:
    assert evaluate(parse("1" + " + 2 * 3 - 1" * 74), {}) == 371
    assert evaluate(parse("1 < 2" + " and 2 < 3" * 146 + " or units"), {"units": 0}) is True
    assert evaluate(parse("x" + "[0]" * 149), {"x": reduce(lambda inner, _: [inner], range(149), 7)}) == 7
    assert evaluate(parse("-2 ** 2" + " * x" * 60), {"x": 1}) == -4


@pytest.mark.parametrize(
    ("text", "what", "column"),
    [
        ("(" * 51 + "1" + ")" * 51, "50 brackets", 52),
        ("abs(" * 51 + "1" + ")" * 51, "50 brackets", 205),
        ("x[" * 51 + "0" + "]" * 51, "50 brackets", 103),
        ("-" * 151 + "1", "150 operations", 151),
        ("1 if x else " * 151 + "1", "150 operations", 1794),
        ("1" + " + x" * 150, "150 operations", 1),
        ("(1" + " + x" * 100 + ")" + " + x" * 100, "150 operations", 200),
    ],
)
def test_what_is_inside_one_another_is_bounded(text: str, what: str, column: int) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert caught.value.text == f"more than {what} nested; split the expression into named parts"
    assert caught.value.column == column


def test_fifty_brackets_are_not_too_many() -> None:
    assert evaluate(parse("(1 + " * 50 + "1" + ")" * 50), {}) == 51
    assert evaluate(parse("abs(-" * 50 + "1" + ")" * 50), {}) == 1


def test_noise_is_an_expression_error_or_a_value_and_nothing_else() -> None:
    chooser = random.Random(2)
    pieces = [*"+-*/%@()[],.:=<>'\" 019ex", "**", "if", "else", "not", "and", "max", "len", "units", "1e9", "$", "é"]
    for _ in range(20000):
        text = "".join(chooser.choice(pieces) for _ in range(chooser.randrange(1, 14)))
        _, error = attempt(text, {"units": 3, "e": 2, "x": [1, 2]})
        assert error is None or 1 <= error.column <= len(text) + 1, text


def test_the_names_of_an_expression_are_known_without_its_value() -> None:
    tree = parse("abs(a.features - b) + random_normal(shape(a.features))[0]")
    assert list(names_in(tree)) == ["a.features", "b"]


def test_every_function_has_a_fault_of_its_own_for_too_few_arguments() -> None:
    for name in FUNCTIONS:
        with pytest.raises(ExpressionError, match=f"{name} takes"):
            evaluate(parse(f"{name}()"), {})


# templates


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$units", 128), ("$(2 * units)", 256), ("$rate", 0.4), ("$(units > 3)", True), ("$word", "relu"),
        ("$shape", [28, 28]), ("head_$(units)", "head_128"), ("$word.keras", "relu.keras"), ("$$5", "$5"),
        ("$$units", "$units"), ("a$(1)b$(2)", "a1b2"), ("x_$(1 < 2)", "x_true"), ("$(1/255)", 1 / 255),
        ("$(len('(') + units)", None), ("$inputs.x.max_length", 5), ("$inputs.x.max_length.", "5."),
        ("100 %", "100 %"), ("$(shape[0])", 28),
    ],
)  # fmt: skip
def test_a_reference_alone_keeps_its_type_and_inside_a_text_is_formatted(text: str, expected: Any) -> None:
    names = {"units": 128, "rate": 0.4, "word": "relu", "shape": [28, 28], "inputs.x.max_length": 5}
    if expected is None:
        with pytest.raises(ExpressionError, match="len expected a list"):
            substitute(text, names)
        return
    value = substitute(text, names)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("text", "message", "column", "length"),
    [
        ("cost $5", "'$' starts a reference, $name or $(...); a literal '$' is written '$$'", 6, 1),
        ("$", "'$' starts a reference, $name or $(...); a literal '$' is written '$$'", 1, 1),
        ("ab $(1 + 2", "the bracket of '$(' is never closed", 4, 2),
        ("ab $unit", "unknown name 'unit'; did you mean 'units'?", 5, 4),
        ("ab $(1 + unit)", "unknown name 'unit'; did you mean 'units'?", 10, 4),
        ("ab $(1 +)", "expected a value, got the end", 9, 1),
        ("ab $shape", "the list [28, 28] cannot be inserted into a text", 4, 6),
    ],
)  # fmt: skip
def test_a_fault_in_a_template_points_into_the_whole_text(text: str, message: str, column: int, length: int) -> None:
    with pytest.raises(ExpressionError) as caught:
        substitute(text, {"units": 1, "shape": [28, 28]})
    assert (caught.value.text, caught.value.column, caught.value.length) == (message, column, length)
