# cython: language_level=3
cdef extern from "gdal.h":
    void GDALAllRegister()
    const char *GDALVersionInfo(const char *)

cdef extern from "cpl_conv.h":
    const char *CPLFindFile(const char *, const char *)

cdef extern from "ogr_srs_api.h":
    ctypedef void *OGRSpatialReferenceH
    ctypedef void *OGRCoordinateTransformationH
    OGRSpatialReferenceH OSRNewSpatialReference(const char *)
    int OSRImportFromEPSG(OGRSpatialReferenceH, int)
    void OSRSetAxisMappingStrategy(OGRSpatialReferenceH, int)
    OGRCoordinateTransformationH OCTNewCoordinateTransformation(OGRSpatialReferenceH, OGRSpatialReferenceH)
    int OCTTransform(OGRCoordinateTransformationH, int, double *, double *, double *)

GDALAllRegister()


def release():
    return GDALVersionInfo(b"RELEASE_NAME").decode()


def data_file(name):
    found = CPLFindFile(b"gdal", name.encode())
    return None if found is NULL else found.decode()


def transform(int source, int goal, double x, double y):
    cdef OGRSpatialReferenceH a = OSRNewSpatialReference(NULL), b = OSRNewSpatialReference(NULL)
    if OSRImportFromEPSG(a, source) or OSRImportFromEPSG(b, goal):
        raise ValueError("unknown EPSG code")
    OSRSetAxisMappingStrategy(a, 0)
    OSRSetAxisMappingStrategy(b, 0)
    if not OCTTransform(OCTNewCoordinateTransformation(a, b), 1, &x, &y, NULL):
        raise ValueError("not transformed")
    return x, y
