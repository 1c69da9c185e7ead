"""Nothing grows past its wall."""

import ast
from pathlib import Path

MODULE_WALL = 400
FUNCTION_WALL = 40


def test_no_module_is_above_its_wall(modules: list[Path]) -> None:
    """A module that is longer holds two concepts."""
    sizes = {str(path): len(path.read_text().splitlines()) for path in modules}

    assert {path: size for path, size in sizes.items() if size > MODULE_WALL} == {}


def test_no_function_is_above_its_wall(modules: list[Path]) -> None:
    """A function that is longer does two things."""
    sizes = {
        f"{path}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path in modules
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }

    assert sizes
    assert {function: size for function, size in sizes.items() if size > FUNCTION_WALL} == {}
