"""Names in a table of choices, without an import of the table."""

import ast
import pathlib


def names_in(module: str, table: str) -> list[str]:
    """The names in a table, in order, read from the source.

    Args:
        module: that defines the table as a dictionary whose keys are written out, or
            imports it from the module that does.
        table: the name of the dictionary.

    Raises:
        LookupError: the module has no such dictionary.
    """
    path = pathlib.Path(__file__).parents[1].joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.ImportFrom(module=str(origin), names=aliases):
                if table in [alias.name for alias in aliases]:
                    return names_in(origin, table)
            case (
                ast.AnnAssign(target=ast.Name(id=name), value=ast.Dict(keys=keys))
                | ast.Assign(targets=[ast.Name(id=name)], value=ast.Dict(keys=keys))
            ) if name == table:
                return [ast.literal_eval(key) for key in keys if key is not None]
    raise LookupError(f"{module} has no dictionary {table}")
