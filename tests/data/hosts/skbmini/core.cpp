#include <Python.h>

#include <gdal_priv.h>
#include <ogr_spatialref.h>

static PyObject *release(PyObject *, PyObject *) {
    return PyUnicode_FromString(GDALVersionInfo("RELEASE_NAME"));
}

static PyObject *data_file(PyObject *, PyObject *arguments) {
    const char *name;
    if (!PyArg_ParseTuple(arguments, "s", &name)) return nullptr;
    const char *found = CPLFindFile("gdal", name);
    if (!found) Py_RETURN_NONE;
    return PyUnicode_FromString(found);
}

static PyObject *crs_name(PyObject *, PyObject *arguments) {
    int code;
    if (!PyArg_ParseTuple(arguments, "i", &code)) return nullptr;
    OGRSpatialReference reference;
    if (reference.importFromEPSG(code) != OGRERR_NONE) {
        PyErr_SetString(PyExc_ValueError, "unknown EPSG code");
        return nullptr;
    }
    return PyUnicode_FromString(reference.GetName());
}

static PyObject *total(PyObject *, PyObject *arguments) {
    const char *path;
    int value;
    if (!PyArg_ParseTuple(arguments, "si", &path, &value)) return nullptr;
    GDALAllRegister();
    auto *driver = GetGDALDriverManager()->GetDriverByName("GTiff");
    auto *made = driver->Create(path, 64, 64, 1, GDT_Byte, nullptr);
    made->GetRasterBand(1)->Fill(value);
    GDALClose(made);
    auto *read = GDALDataset::Open(path);
    unsigned char pixels[64 * 64];
    CPLErr status = read->GetRasterBand(1)->RasterIO(
        GF_Read, 0, 0, 64, 64, pixels, 64, 64, GDT_Byte, 0, 0, nullptr);
    GDALClose(read);
    long sum = 0;
    for (unsigned char pixel : pixels) sum += pixel;
    return PyLong_FromLong(status == CE_None ? sum : -1);
}

static PyMethodDef methods[] = {
    {"release", release, METH_NOARGS, nullptr},
    {"data_file", data_file, METH_VARARGS, nullptr},
    {"crs_name", crs_name, METH_VARARGS, nullptr},
    {"total", total, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_core", nullptr, -1, methods};

PyMODINIT_FUNC PyInit__core() { return PyModule_Create(&module); }
