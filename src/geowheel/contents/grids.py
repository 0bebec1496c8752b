"""Well-known operations that PROJ makes without their grid: no error, and another number."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from geowheel.machine.files import table_of

_GRIDS: Final = """
select proj_grid_name, old_proj_grid_name from grid_alternatives
join grid_transformation on original_grid_name = grid_name
where not deprecated and ((source_crs_code = :a and target_crs_code = :b)
                          or (source_crs_code = :b and target_crs_code = :a))
"""


def without_grids(proj_data: Path) -> tuple[str, ...]:
    """Return the operations of which no grid is in a folder of PROJ's data, by their names.

    proj.db says which files they need (https://proj.org/en/stable/resource_files.html). Nothing
    where it is not there, or is no database.
    """
    table = table_of("contents", "grids.toml", dict[str, list[tuple[str, str, str]]])
    there = {path.name for path in proj_data.glob("*")}
    found = []
    try:
        with closing(
            sqlite3.connect(f"{(proj_data / 'proj.db').as_uri()}?mode=ro", uri=True)
        ) as db:
            for name, source, target in table["operations"]:
                grids = [set(row) for row in db.execute(_GRIDS, {"a": source, "b": target})]
                if grids and not there & set.union(*grids):
                    found.append(name)
    except sqlite3.DatabaseError:
        return ()
    return tuple(found)
