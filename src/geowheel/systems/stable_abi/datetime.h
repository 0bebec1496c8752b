/* Stands in for CPython's datetime.h where GDAL's gdal_array is compiled for the stable ABI, which
   has no C interface of datetime: the same names, through the objects that Python code uses.
   C++ only. What SWIG's wrapper of GDAL 3.11 to 3.13 calls is here, and nothing else. */
#pragma once
#include <Python.h>

/* The wrapper counts references of a PyArrayObject *, which the limited API's macro refuses. */
#undef Py_INCREF
#define Py_INCREF(object) Py_INCREF((PyObject *)(object))

namespace geowheel_datetime {

inline PyObject *type(const char *name) {  /* a new reference */
  PyObject *module = PyImport_ImportModule("datetime");
  PyObject *found = module ? PyObject_GetAttrString(module, name) : nullptr;
  Py_XDECREF(module);
  return found;
}

inline bool is_a(void *object, const char *name) {
  PyObject *wanted = type(name);
  int found = wanted ? PyObject_IsInstance((PyObject *)object, wanted) : -1;
  Py_XDECREF(wanted);
  if (found < 0) PyErr_Clear();
  return found == 1;
}

inline int number(void *object, const char *name) {
  PyObject *value = PyObject_GetAttrString((PyObject *)object, name);
  long found = value ? PyLong_AsLong(value) : 0;
  Py_XDECREF(value);
  return (int)found;
}

inline PyObject *call(const char *name, const char *method, PyObject *arguments) {
  PyObject *object = type(name);
  if (object && method) {
    PyObject *bound = PyObject_GetAttrString(object, method);
    Py_DECREF(object);
    object = bound;
  }
  PyObject *made = object && arguments ? PyObject_CallObject(object, arguments) : nullptr;
  Py_XDECREF(object);
  return made;
}

inline PyObject *call_new(const char *name, PyObject *arguments) {
  PyObject *made = call(name, nullptr, arguments);
  Py_XDECREF(arguments);
  return made;
}

/* `((PyDateTime_DateTime *)object)->tzinfo`: a member at offset 0, so `this` is the object. The
   wrapper takes the reference for a borrowed one. It is never given back: of a subclass with a
   tzinfo of its own it may be the only one. */
struct TimeZone {
  operator PyObject *() const { return PyObject_GetAttrString((PyObject *)this, "tzinfo"); }
};

}  // namespace geowheel_datetime

struct PyDateTime_DateTime { geowheel_datetime::TimeZone tzinfo; };

#define PyDateTime_IMPORT ((void)0)
#define PyDateTime_Check(o) geowheel_datetime::is_a(o, "datetime")
#define PyDelta_Check(o) geowheel_datetime::is_a(o, "timedelta")
#define PyDateTime_GET_YEAR(o) geowheel_datetime::number(o, "year")
#define PyDateTime_GET_MONTH(o) geowheel_datetime::number(o, "month")
#define PyDateTime_GET_DAY(o) geowheel_datetime::number(o, "day")
#define PyDateTime_DATE_GET_HOUR(o) geowheel_datetime::number(o, "hour")
#define PyDateTime_DATE_GET_MINUTE(o) geowheel_datetime::number(o, "minute")
#define PyDateTime_DATE_GET_SECOND(o) geowheel_datetime::number(o, "second")
#define PyDateTime_DATE_GET_MICROSECOND(o) geowheel_datetime::number(o, "microsecond")
#define PyDateTime_DELTA_GET_DAYS(o) geowheel_datetime::number(o, "days")
#define PyDateTime_DELTA_GET_SECONDS(o) geowheel_datetime::number(o, "seconds")
#define PyDelta_FromDSU(days, seconds, microseconds) geowheel_datetime::call_new( \
  "timedelta", Py_BuildValue("(iii)", (int)(days), (int)(seconds), (int)(microseconds)))
#define PyTimeZone_FromOffset(offset) geowheel_datetime::call_new( \
  "timezone", Py_BuildValue("(O)", (PyObject *)(offset)))
#define PyTime_FromTime(hour, minute, second, microsecond) geowheel_datetime::call_new( \
  "time", Py_BuildValue("(iiii)", (int)(hour), (int)(minute), (int)(second), (int)(microsecond)))
#define PyDateTime_FromTimestamp(arguments) \
  geowheel_datetime::call("datetime", "fromtimestamp", arguments)
