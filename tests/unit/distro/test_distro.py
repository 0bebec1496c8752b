"""Names, versions, closure and layout of the distro channel, from texts alone."""

import json
import re
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rattler import PackageName, Version

from geowheel.distro import conversion
from geowheel.distro.apt import of_suite
from geowheel.distro.channel import check_whole, entry_name, library_of
from geowheel.distro.conda_package import PREFIX_PLACEHOLDER
from geowheel.distro.debian import (
    Deb,
    Distribution,
    Relation,
    closure,
    conda_name,
    conda_version,
    distribution_of,
    paragraphs,
    parse_copyright,
    parse_debs,
    parse_print_uris,
    parse_relations,
    resolve,
)
from geowheel.distro.recipes import plan_recipes
from geowheel.distro.state import STATE, ChannelState, Converted, read_state, write_state
from geowheel.distro.tables import architecture_of, load_table
from geowheel.errors import ChannelError, MachineError
from geowheel.targets import Platform

TABLE = load_table()
BOOKWORM = Distribution(id="debian", version="12")
# Debian Policy 5.6.12: what an upstream version may consist of.
UPSTREAM = st.from_regex(r"[0-9][A-Za-z0-9.+~]{0,20}", fullmatch=True)
REVISION = st.from_regex(r"[A-Za-z0-9+.~]{1,10}", fullmatch=True)


def deb(name: str, version: str = "1.0-1", depends: str = "", **fields: str) -> Deb:
    provides = fields.pop("provides", "")
    return Deb(
        name=name, version=version, section=fields.pop("section", "libs"),
        file=f"pool/{name}_{version}_amd64.deb", size=1000, sha256="0" * 64,
        depends=parse_relations(depends), provides=frozenset(provides.split()),
    )  # fmt: skip


def index(*debs: Deb) -> dict[str, Deb]:
    return {each.name: each for each in debs}


@pytest.mark.parametrize(
    ("debian", "conda"),
    [
        ("3.6.2+dfsg-1+b2", "3.6.2"), ("1:1.2.13.dfsg-1", "1.2.13"), ("1.10.8+repack1-1", "1.10.8"),
        ("2:6.2.1+dfsg1-1.1", "6.2.1"), ("0.9.7+dfsg-2", "0.9.7"), ("4.0.0+ds-2", "4.0.0"),
        ("3.2.4+debian-1", "3.2.4"), ("1:4.9.0-3+b1", "4.9.0"), ("1.3.0~rc0-3", "1.3.0rc0"),
        ("5.1.1alpha+20120614", "5.1.1alpha.20120614"), ("3.11.0~beta1", "3.11.0beta1"),
        ("2.4+20151223.gitfa8646d.1-2+b2", "2.4.20151223.gitfa8646d.1"),
        ("1.2.13+really1.2.12-1", "1.2.12"), ("20250419~deb12u2", "20250419"),
        ("20240203", "20240203"), ("2023d-0ubuntu0.22.04", "2023d"), ("0.0~r130", "0.0r130"),
        ("4.2r4", "4.2r4"), ("v5-1", "0.v5"),
    ],
)  # fmt: skip
def test_upstream_versions(debian: str, conda: str) -> None:
    assert conda_version(debian) == conda
    Version(conda)


@given(upstream=UPSTREAM, revision=REVISION, epoch=st.sampled_from(["", "0:", "12:"]))
def test_every_version_becomes_condas(upstream: str, revision: str, epoch: str) -> None:
    version = conda_version(f"{epoch}{upstream}-{revision}")
    Version(version)
    assert not set(version) & set("-+~:_")


@given(st.from_regex(r"[a-z0-9][a-z0-9+.-]{1,30}", fullmatch=True))
def test_every_package_gets_a_name_that_conda_takes(name: str) -> None:
    assert PackageName(TABLE.conda_name(name)).normalized == TABLE.conda_name(name)


@pytest.mark.parametrize(
    ("name", "conda"),
    [
        ("libgdal32", "libgdal-core"), ("libgdal34t64", "libgdal-core"),
        ("gdal-data", "libgdal-core"), ("libproj25", "proj"), ("proj-data", "proj"),
        ("libgeos-c1v5", "geos"), ("libgeos3.11.1", "geos"), ("libgeotiff5", "geotiff"),
        ("zlib1g", "libzlib"), ("libcurl3t64-gnutls", "libcurl"), ("libsqlite3-0", "libsqlite"),
        ("libssl3t64", "openssl"), ("libssh2-1t64", "libssh2"), ("libpng16-16t64", "libpng"),
        ("libhdf5-hl-100", "hdf5"), ("libfyba0t64", "libfyba0"),
        ("libsigc++-2.0-0v5", "libsigcxx-2.0-0v5"),
    ],
)  # fmt: skip
def test_names(name: str, conda: str) -> None:
    assert TABLE.conda_name(name) == conda


def test_the_mark_of_the_time_transition_goes() -> None:
    assert conda_name("libglib2.0-0t64") == "libglib2.0-0"
    assert conda_name("libt64") == "libt64"


SHOW = """\
Package: libgdal32
Source: gdal (3.6.2+dfsg-1)
Version: 3.6.2+dfsg-1+b2
Pre-Depends: libc6 (>= 2.36)
Depends: gdal-data (>= 3.6.2+dfsg-1), libblas3 | libblas.so.3,
 zlib1g:amd64 (>= 1:1.2.2)
Provides: libgdal-abi (= 32), libgdal.so.32
Section: libs
Description: Geospatial Data Abstraction Library
 It reads rasters.
Filename: pool/main/g/gdal/libgdal32_3.6.2+dfsg-1+b2_amd64.deb
Size: 8
SHA256: abababababababababababababababababababababababababababababababab

Package: virtual-thing
State: not a real package
"""


def test_show_is_read_with_continued_lines() -> None:
    found = parse_debs(SHOW)
    assert list(found) == ["libgdal32"]
    gdal = found["libgdal32"]
    assert gdal.file_name == "libgdal32_3.6.2+dfsg-1+b2_amd64.deb"
    assert gdal.summary == "Geospatial Data Abstraction Library"
    assert gdal.provides == {"libgdal-abi", "libgdal.so.32"}
    assert gdal.depends == (
        (Relation(name="libc6", operator=">=", version="2.36"),),
        (Relation(name="gdal-data", operator=">=", version="3.6.2+dfsg-1"),),
        (Relation(name="libblas3"), Relation(name="libblas.so.3")),
        (Relation(name="zlib1g", operator=">=", version="1:1.2.2"),),
    )


@given(st.text(max_size=200))
def test_any_text_is_read_without_a_crash(text: str) -> None:
    list(paragraphs(text))
    parse_relations(text)
    parse_print_uris(text)


def test_print_uris_and_relations() -> None:
    text = (
        "'http://deb.debian.org/debian/pool/z_1%3a1_amd64.deb' zlib1g_1%3a1_amd64.deb 9 MD5Sum:x\n"
        "WARNING: something\n"
        "'file:/mnt/my debs/b.deb' libb_1_all.deb 9 \n"
    )
    assert parse_print_uris(text) == ("libb", "zlib1g")
    ((one,), (two,)) = parse_relations("python3:any (<< 3.12) [amd64] <!nocheck>, libx (= 1)")
    assert one == Relation(name="python3", operator="<<", version="3.12")
    assert two == Relation(name="libx", operator="=", version="1")


@pytest.mark.parametrize(
    ("said", "name", "prefix"),
    [
        ({"ID": "debian", "VERSION_ID": "12"}, "debian-12", "debian12"),
        ({"ID": "ubuntu", "ID_LIKE": "debian", "VERSION_ID": "24.04"}, "ubuntu-24.04",
         "ubuntu24.04"),
        ({"ID": "debian", "VERSION_CODENAME": "sid"}, "debian-sid", "debiansid"),
        ({"ID": "linuxmint", "ID_LIKE": "ubuntu debian", "VERSION_ID": "21"}, "linuxmint-21",
         "linuxmint21"),
    ],
)  # fmt: skip
def test_distributions(said: dict[str, str], name: str, prefix: str) -> None:
    distribution = distribution_of(said)
    assert str(distribution) == name
    assert distribution.build_prefix == prefix


def test_the_release_names_its_libgdal() -> None:
    noble = deb("libgdal-dev", depends="libc6-dev, libgdal34t64 (= 3.8.4+dfsg-3)")
    assert library_of(noble, TABLE) == "libgdal34t64"
    with pytest.raises(ChannelError, match="depends on no libgdal"):
        library_of(deb("libgdal-dev", depends="libc6-dev"), TABLE)
    with pytest.raises(MachineError, match="Fedora Linux 43") as caught:
        distribution_of({"ID": "fedora", "PRETTY_NAME": "Fedora Linux 43"})
    assert "--channel conda-forge" in str(caught.value)


def test_the_closure_stops_at_runtimes_programs_and_fonts() -> None:
    candidates = index(
        deb("libgdal32", depends="libc6, libstdc++6, libfontconfig1, libkeyutils1, gdal-data, ucf"),
        deb("libfontconfig1", depends="fontconfig-config, libexpat1"),
        deb("fontconfig-config", depends="fonts-dejavu-core", section="fonts"),
        deb("fonts-dejavu-core", section="fonts"),
        deb("libkeyutils1", section="misc"),
        deb("libexpat1", section="universe/libs"),
        deb("gdal-data", section="science"),
        deb("ucf", section="utils"),
        deb("libc6", depends="libgcc-s1"),
        deb("libgcc-s1"),
        deb("libstdc++6"),
        deb("libgdal-dev", depends="libexpat1-dev", section="libdevel"),
        deb("libexpat1-dev", section="libdevel"),
    )
    kept = closure(["libgdal32"], ["libgdal-dev", "gdal-bin"], candidates, TABLE.leaves_out)
    assert list(kept) == [
        "gdal-data", "libexpat1", "libfontconfig1", "libgdal-dev", "libgdal32", "libkeyutils1",
    ]  # fmt: skip


def test_alternatives_are_decided_by_what_apt_chose() -> None:
    candidates = index(deb("libopenblas0-pthread", provides="libblas.so.3 liblapack.so.3"))
    (group,) = parse_relations("libblas3 | libblas.so.3")
    found = resolve(group, candidates)
    assert found is not None
    assert found.name == "libopenblas0-pthread"
    assert resolve(group, {}) is None
    candidates = index(deb("libgdal32", depends="liba"), deb("liba", depends="libgdal32"))
    assert list(closure(["libgdal32"], [], candidates, TABLE.leaves_out)) == ["liba", "libgdal32"]


@pytest.mark.parametrize(
    ("kind", "text", "made"),
    [
        (
            ".list",
            "deb [signed-by=/k y=z] http://a/debian bookworm main contrib\n"
            "deb http://a/debian-security stable-security main\ndeb-src http://a bookworm main\n"
            "deb http://a/debian bookworm-backports main\n# deb http://a bookworm main\n"
            "deb http://docker bookworm stable\ndeb http://pg bookworm-pgdg main\n",
            "deb [signed-by=/k y=z] http://a/debian forky main contrib\n"
            "deb http://a/debian-security forky-security main\n",
        ),
        (
            ".sources",
            "Types: deb\nURIs: http://a/debian\nSuites: bookworm bookworm-updates x\n"
            "Components: main\nSigned-By: /k\n\nTypes: deb\nSuites: nodistro\nComponents: main\n",
            "Types: deb\nURIs: http://a/debian\nSuites: forky forky-updates\n"
            "Components: main\nSigned-By: /k\n\n",
        ),
    ],
)
def test_another_suite_comes_from_the_machines_own_sources(kind: str, text: str, made: str) -> None:
    assert of_suite("forky", "bookworm", text, kind) == made
    assert of_suite("forky", "bookworm", made.replace("forky", "jammy"), kind) == ""


def test_recipes_group_name_and_depend_as_conda_forge() -> None:
    kept = index(
        deb("libgdal32", "3.6.2+dfsg-1+b2", "libproj25 (>= 8.2.0), zlib1g (>= 1:1.2.2), libfyba0"),
        deb("gdal-data", "3.6.2+dfsg-1"),
        deb("libproj25", "9.1.1-1+b1", "proj-data (>= 9.1.1-1), zlib1g (>= 1:1.2.11)"),
        deb("proj-data", "9.1.1-1"),
        deb("zlib1g", "1:1.2.13.dfsg-1"),
        deb("libfyba0", "4.1.1-8", "libstdc++6 (>= 5.2)"),
        deb("libstdc++6", "12.2.0-14"),
        deb("libstdc++-12-dev", "12.2.0-14", "libstdc++6 (>= 12)"),
        deb("ca-certificates", "20250419~deb12u2"),
    )
    recipes = {r.name: r for r in plan_recipes(kept, TABLE, BOOKWORM, Platform.LINUX_64)}
    gdal, proj = recipes["libgdal-core"], recipes["proj"]
    assert [d.name for d in gdal.debs] == ["libgdal32", "gdal-data"]
    assert (gdal.version, gdal.build) == ("3.6.2", "debian12_1_b2")
    assert gdal.depends == ("libfyba0", "libzlib >=1.2.2", "proj >=8.2.0")
    assert [d.name for d in proj.debs] == ["libproj25", "proj-data"]
    assert proj.depends == ("libzlib >=1.2.11",)
    headers = recipes["libstdcxx-devel_linux-64"]
    assert [d.name for d in headers.debs] == ["libstdc++-12-dev", "libstdc++6"]
    assert headers.depends == recipes["libfyba0"].depends == (), "the runtime is the system's"
    assert recipes["ca-certificates"].subdir is None
    assert recipes["ca-certificates"].build == "debian12_deb12u2"


def test_the_highest_bound_counts_and_an_unusable_one_does_not() -> None:
    kept = index(
        deb(
            "libx1", depends="libkmlbase1 (>= 1.2), libkmldom1 (>= 1.10), zlib1g (>= 1:1.3+really9)"
        ),
        deb("libkmlbase1", "1.30-1"),
        deb("libkmldom1", "1.30-1"),
        deb("zlib1g", "1:1.2-1"),
    )
    recipes = {r.name: r for r in plan_recipes(kept, TABLE, BOOKWORM, Platform.LINUX_64)}
    assert recipes["libx1"].depends == ("libkml >=1.10", "libzlib")


def test_documents_join_each_package_that_depends_on_them() -> None:
    kept = index(
        deb("libgfortran5", depends="gcc-12-base (= 1), libquadmath0"),
        deb("libquadmath0", depends="gcc-12-base (= 1)"),
        deb("libgomp1", depends="gcc-12-base (= 1)"),
        deb("gcc-12-base"),
    )
    recipes = {r.name: r for r in plan_recipes(kept, TABLE, BOOKWORM, Platform.LINUX_64)}
    names = {name: [d.name for d in recipe.debs] for name, recipe in recipes.items()}
    assert names == {
        "libgfortran5": ["libgfortran5", "libquadmath0", "gcc-12-base"],
        "libgomp": ["libgomp1", "gcc-12-base"],
    }


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("usr/lib/x86_64-linux-gnu/libgdal.so.32", "lib/libgdal.so.32"),
        ("lib/x86_64-linux-gnu/libz.so.1", "lib/libz.so.1"),
        ("usr/lib/libarmadillo.so.11", "lib/libarmadillo.so.11"),
        ("usr/lib/x86_64-linux-gnu/blas/libblas.so.3.11.0", "lib/libblas.so.3.11.0"),
        ("usr/lib/x86_64-linux-gnu/hdf5/serial/libhdf5.so.103", "lib/libhdf5.so.103"),
        ("usr/lib/x86_64-linux-gnu/ossl-modules/legacy.so", "lib/ossl-modules/legacy.so"),
        ("usr/lib/ogdi/4.1/libgdal.so", "lib/ogdi/4.1/libgdal.so"),
        ("usr/lib/x86_64-linux-gnu/gdalplugins/drivers.ini", "lib/gdalplugins/drivers.ini"),
        ("usr/lib/gdalplugins/3.4/ogr_X.so", "lib/gdalplugins/ogr_X.so"),
        ("usr/lib/x86_64-linux-gnu/pkgconfig/gdal.pc", "lib/pkgconfig/gdal.pc"),
        ("usr/lib/x86_64-linux-gnu/pkgconfig/other.pc", None),
        ("usr/lib/x86_64-linux-gnu/libgdal.a", None),
        ("usr/lib/x86_64-linux-gnu/libsoftokn3.chk", None),
        ("usr/lib/x86_64-linux-gnu/cmake/gdal/GDALConfig.cmake", None),
        ("usr/lib/python3/dist-packages/x.so", None),
        ("usr/bin/gdalinfo", "bin/gdalinfo"),
        ("usr/include/gdal/cpl_port.h", "include/cpl_port.h"),
        ("usr/include/gdal/deep/er.h", "include/deep/er.h"),
        ("usr/include/other.h", None),
        ("usr/include/c++/12/vector", "include/c++/12/vector"),
        (
            "usr/include/x86_64-linux-gnu/c++/12/bits/c++config.h",
            "include/c++/12/x86_64-linux-gnu/bits/c++config.h",
        ),
        ("usr/include/python3.14/Python.h", "include/python3.14/Python.h"),
        (
            "usr/include/x86_64-linux-gnu/python3.14/pyconfig.h",
            "include/x86_64-linux-gnu/python3.14/pyconfig.h",
        ),
        ("usr/lib/x86_64-linux-gnu/libstdc++.so.6", "lib/libstdcxx-devel/libstdc++.so.6"),
        ("lib/x86_64-linux-gnu/libgcc_s.so.1", "lib/libstdcxx-devel/libgcc_s.so.1"),
        ("usr/lib/gcc/x86_64-linux-gnu/12/libstdc++.so", None),
        ("usr/share/gdal/gcs.csv", "share/gdal/gcs.csv"),
        ("usr/share/proj/proj.db", "share/proj/proj.db"),
        ("usr/share/doc/libgdal32/copyright", None),
        ("usr/share/man/man1/gdalinfo.1.gz", None),
        ("etc/fonts/fonts.conf", None),
        ("usr/sbin/update-ca-certificates", None),
        ("usr/lib/aarch64-linux-gnu/libgdal.so.32", "lib/libgdal.so.32"),
        ("lib/aarch64-linux-gnu/libz.so.1", "lib/libz.so.1"),
        ("usr/lib/aarch64-linux-gnu/hdf5/serial/libhdf5.so.103", "lib/libhdf5.so.103"),
    ],
)
def test_places(path: str, place: str | None) -> None:
    name = "arm64" if "aarch64" in path else "amd64"
    layout = conversion.CondaLayout(table=TABLE, architecture=TABLE.architectures[name])
    assert layout.place(path) == place


@pytest.mark.parametrize(
    ("path", "rpath"),
    [
        ("lib/libgdal.so.32", "$ORIGIN"), ("lib/gdalplugins/ogr_PG.so", "$ORIGIN/.."),
        ("lib/ogdi/4.1/librpf.so", "$ORIGIN/../.."), ("bin/gdalinfo", "$ORIGIN/../lib"),
    ],
)  # fmt: skip
def test_rpaths_lead_to_lib(path: str, rpath: str) -> None:
    assert conversion.rpath_for(path) == rpath


def test_gdal_config_names_the_placeholder_alone() -> None:
    text = (
        'CONFIG_LIBS="-L/usr/lib/x86_64-linux-gnu -L/usr/lib -lgdal"\n'
        'CONFIG_DEP_LIBS="-lssl /lib/x86_64-linux-gnu/libexpat.so.1.8.10"\n'
        'CONFIG_PREFIX="/usr"\n'
        'CONFIG_CFLAGS="-I/usr/include/gdal"\n'
        'CONFIG_DATA="/usr/share/gdal"\n'
        'CONFIG_FORMATS="GTIFF netCDF"\n'
        "prefix=/usr\nLibs.private: -lssl\nCflags: ${X}/usrland\n"
    )
    p = PREFIX_PLACEHOLDER
    assert conversion.rewrite_prefix(text, "x86_64-linux-gnu", TABLE) == (
        f'CONFIG_LIBS="-L{p}/lib -L{p}/lib -lgdal"\n'
        'CONFIG_DEP_LIBS=""\n'
        f'CONFIG_PREFIX="{p}"\n'
        f'CONFIG_CFLAGS="-I{p}/include"\n'
        f'CONFIG_DATA="{p}/share/gdal"\n'
        'CONFIG_FORMATS="GTIFF netCDF"\n'
        f"prefix={p}\nCflags: ${{X}}/usrland\n"
    )
    assert conversion.built_in_formats(text) == {"gtiff", "netcdf"}
    assert conversion.built_in_formats("no such line") == frozenset()


def test_only_drivers_that_are_there_are_offered() -> None:
    plugins = TABLE.plugins
    formats = frozenset({"gtiff", "netcdf", "openjpeg"})
    needs = ("libpq.so.5", "libproj.so.25")
    there = {name for name, p in plugins.items() if p.is_built_in(formats, needs)}
    assert there == {"libgdal-netcdf", "libgdal-jp2openjpeg", "libgdal-pg"}


def test_certificates_are_joined_without_those_that_nobody_trusts() -> None:
    def pem(text: str) -> bytes:
        return f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----".encode()

    found = {"mozilla/b.crt": pem("B"), "mozilla/Z.crt": pem("Z\nZ"), "mozilla/a_1.crt": pem("A")}
    both = pem("Z\nZ") + b"\n" + pem("B") + b"\n"
    assert conversion.certificate_bundle(found, pem("ZZ") + pem("B") + pem("A")).endswith(both[-9:])
    first, _, rest = conversion.certificate_bundle(found, pem("ZZ") + pem("B")).partition(b"\n")
    assert (b"does not trust them: a_1" in first, rest) == (True, both)


def test_machine_readable_copyright_becomes_spdx() -> None:
    text = (
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"
        "Files: *\nCopyright: A\nLicense: Expat\n Permission ...\n\n"
        "Files: a b\nLicense: GPL-2+ or BSD-3-clause\n\n"
        "Files: c\nLicense: Expat and odd one\n\n"
        "Files: debian/*\nLicense: GPL-3\n\n"
        "License: GPL-2+\n On Debian systems ...\n"
    )
    assert parse_copyright(text, TABLE.licenses) == {
        "MIT",
        "(GPL-2.0-or-later OR BSD-3-Clause)",
        "LicenseRef-odd-one",
    }
    assert parse_copyright("This is free software.", TABLE.licenses) == frozenset()


def entry(*files: str, key: str = "k") -> Converted:
    return Converted(key=key, files=dict.fromkeys(files, "s"), provides=("liba.so.1",), needs=())


def test_the_state_tells_platforms_apart() -> None:
    x86, arm, common = entry("linux-64/a"), entry("linux-aarch64/a"), entry("noarch/b")
    state = ChannelState(entries={"linux-64/a": x86, "linux-aarch64/a": arm, "noarch/b": common})
    assert state.of(Platform.LINUX_64) == {"linux-64/a": x86, "noarch/b": common}
    assert state.of(Platform.LINUX_AARCH64) == {"linux-aarch64/a": arm, "noarch/b": common}
    assert state.files("linux-64") == {"linux-64/a": "s"}
    assert state.files("noarch") == {"noarch/b": "s"}
    name, architecture = architecture_of(Platform.LINUX_AARCH64, TABLE)
    assert (name, architecture.multiarch) == ("arm64", "aarch64-linux-gnu")
    with pytest.raises(MachineError, match="no distro channel for osx-arm64") as caught:
        architecture_of(Platform.OSX_ARM64, TABLE)
    assert "linux-64, linux-aarch64" in str(caught.value)
    kept = index(deb("libgdal32", "3.6.2-1"), deb("ca-certificates", "20240203"))
    names = {
        platform: {entry_name(r) for r in plan_recipes(kept, TABLE, BOOKWORM, platform)}
        for platform in (Platform.LINUX_64, Platform.LINUX_AARCH64)
    }
    assert names == {
        Platform.LINUX_64: {"linux-64/libgdal-core", "noarch/ca-certificates"},
        Platform.LINUX_AARCH64: {"linux-aarch64/libgdal-core", "noarch/ca-certificates"},
    }


def test_the_state_survives_and_damage_means_starting_over(tmp_path: Path) -> None:
    assert read_state(tmp_path) == ChannelState()
    (tmp_path / "precious.conda").touch()
    with pytest.raises(MachineError, match="not a distro channel"):
        read_state(tmp_path)
    state = ChannelState(
        entries={"linux-64/a": entry("linux-64/a.conda")}, indexed={"linux-64": "i"}
    )
    write_state(tmp_path / "channel", state)
    assert read_state(tmp_path / "channel") == state
    assert [p.name for p in (tmp_path / "channel").iterdir()] == [STATE]
    damaged = [{"entries": {"a": {}}, "indexed": {}}, {"entries": {}, "indexed": "of an older one"}]
    for damage in ("", "[]", *map(json.dumps, damaged)):
        (tmp_path / "channel" / STATE).write_text(damage)
        assert read_state(tmp_path / "channel") == ChannelState()


@pytest.mark.parametrize(
    ("gdal", "python", "why"),
    [
        ("3.10.3", "3.11", "GDAL 3.10.3 needs Python 3.11's headers; here are 3.13.5's"),
        ("3.10.3", "3.13", None),
        ("3.10.3", "", None),
        ("3.13.3", "3.11", None),
        ("3.13.3", "", "libjxl.so.1 needs new@GLIBC_2.99 in linux-64/libjxl, not to be lowered"),
    ],
)
def test_a_suite_that_makes_no_wheel_here_is_passed_over(
    tmp_path: Path, gdal: str, python: str, why: str | None
) -> None:
    files = {"libgdal-core": gdal, "python-headers": "3.13.5", "libjxl": "1"}
    newest = "libjxl.so.1 needs new@GLIBC_2.99" if why and not python else ""
    entries = {
        f"linux-64/{name}": Converted(
            key="", files={f"linux-64/{name}-{version}-debian_1_h0.conda": ""}, provides=(),
            needs=(), floor=(2, 99) if newest and name == "libjxl" else (2, 27), newest=newest,
        )
        for name, version in files.items()
    }  # fmt: skip
    write_state(tmp_path, ChannelState(entries=entries))
    with pytest.raises(ChannelError, match=re.escape(why)) if why else nullcontext():
        check_whole(tmp_path, Platform.LINUX_64, "2.28", python)
