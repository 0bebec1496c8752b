import pytest

from geowheel.locks.pixi import can_unpack
from geowheel.targets import Platform


@pytest.mark.parametrize("platform", Platform)
@pytest.mark.parametrize("machine", Platform)
def test_only_the_files_of_a_mac_are_beyond_pixi_and_only_elsewhere(
    platform: Platform, machine: Platform
) -> None:
    assert can_unpack(platform, machine) is (
        not platform.startswith("osx-") or machine.startswith("osx-")
    )
