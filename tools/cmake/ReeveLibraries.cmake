# Libraries of the distribution, each as an imported target with one name.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(UV REQUIRED IMPORTED_TARGET libuv)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)
pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
pkg_check_modules(CRYPTO REQUIRED IMPORTED_TARGET libcrypto)

# Debian's libmsgpack-dev and libpaho-mqtt-dev: no pkg-config file that can be relied on.
find_library(REEVE_MSGPACK_LIBRARY NAMES msgpack-c msgpackc REQUIRED)
add_library(reeve_msgpackc INTERFACE)
target_link_libraries(reeve_msgpackc INTERFACE ${REEVE_MSGPACK_LIBRARY})
# Paho is loaded at run time, with or without TLS (shared/bus/paho_library.h): here only its header and its threads.
find_path(REEVE_PAHO_INCLUDE MQTTAsync.h REQUIRED)
find_library(REEVE_PAHO_LIBRARY NAMES paho-mqtt3as REQUIRED)
add_library(reeve_paho INTERFACE)
target_include_directories(reeve_paho INTERFACE ${REEVE_PAHO_INCLUDE})
target_link_libraries(reeve_paho INTERFACE Threads::Threads)
