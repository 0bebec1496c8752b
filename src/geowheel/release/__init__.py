"""From checked wheels to an index: read the world, decide, act.

`world` reads git, changelog, version, ledger, dist/ and index into one frozen value; `plan` decides
from that value alone, with every blocking reason at once; `act` does what the plan says, and goes
on where an earlier run stopped (`journal`). `subject` is what is released; `index` asks an index,
`checks` looks into artefacts, `building` makes sdists and pure wheels, `upload` calls twine.

Beside them: `changelog` (a reader), `exports` and `collect` (artefacts of other machines),
`workflow` and `pins` (generated CI), `report/` (one page), `coverage` (which wheel
pip picks where).
"""
