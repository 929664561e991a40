# reeve_flags: what every target of ours is compiled and linked with.
set(REEVE_SANITIZE "" CACHE STRING "Sanitizers, comma-separated: address,undefined or thread")
option(REEVE_WERROR "Warnings are errors" OFF)
option(REEVE_FUZZ "Build fuzz targets with libFuzzer (clang only); otherwise they replay their corpus" OFF)

add_library(reeve_flags INTERFACE)
target_include_directories(reeve_flags INTERFACE ${CMAKE_SOURCE_DIR}/shared/include)
target_compile_definitions(reeve_flags INTERFACE _GNU_SOURCE REEVE_VERSION="${PROJECT_VERSION}")
target_compile_options(reeve_flags INTERFACE
  -Wall -Wextra -Wshadow -Wvla -Wundef -Wformat=2 -Wswitch-enum -Wconversion -Wsign-conversion
  -Wstrict-prototypes -Wmissing-prototypes -Wimplicit-fallthrough -Wwrite-strings
  -Werror=implicit -Werror=int-conversion -Werror=incompatible-pointer-types -Werror=format-security
  -fno-delete-null-pointer-checks -fno-common -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
# Text that is cut at its bound is meant to be; gcc warns of each, only when optimising.
target_compile_options(reeve_flags INTERFACE $<$<C_COMPILER_ID:GNU>:-Wno-format-truncation>)
if(REEVE_WERROR)
  target_compile_options(reeve_flags INTERFACE -Werror)
endif()
if(REEVE_SANITIZE)
  target_compile_options(reeve_flags INTERFACE -fsanitize=${REEVE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(reeve_flags INTERFACE -fsanitize=${REEVE_SANITIZE})
  target_compile_definitions(reeve_flags INTERFACE REEVE_SANITIZED=1)
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  target_compile_options(reeve_flags INTERFACE
    -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -fcf-protection)
  target_link_options(reeve_flags INTERFACE -Wl,-z,relro,-z,now)
endif()
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
include(CheckPIESupported)
check_pie_supported()
