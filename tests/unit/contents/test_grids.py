"""Which well-known operations have no grid."""

import sqlite3
from pathlib import Path

from geowheel.contents.grids import without_grids

TABLES = """
create table grid_transformation (source_crs_code, target_crs_code, grid_name, deprecated);
create table grid_alternatives (original_grid_name, proj_grid_name, old_proj_grid_name);
insert into grid_transformation values ('4979', '5773', 'WW15MGH.GRD', 0);
insert into grid_alternatives values ('WW15MGH.GRD', 'us_nga_egm96_15.tif', 'egm96_15.gtx');
insert into grid_transformation values ('4258', '4314', 'BETA2007.gsb', 0);
insert into grid_alternatives values ('BETA2007.gsb', 'de_adv_BETA2007.tif', null);
"""


def test_an_operation_has_its_grid_by_either_name(tmp_path: Path) -> None:
    assert without_grids(tmp_path) == ()  # no proj.db
    with sqlite3.connect(tmp_path / "proj.db") as database:
        database.executescript(TABLES)
    egm96, germany = "heights above the EGM96 geoid", "DHDN to ETRS89 (Germany)"
    assert without_grids(tmp_path) == (egm96, germany)
    (tmp_path / "egm96_15.gtx").touch()
    assert without_grids(tmp_path) == (germany,)
    (tmp_path / "de_adv_BETA2007.tif").touch()
    assert without_grids(tmp_path) == ()
