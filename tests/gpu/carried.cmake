# The libraries of FEAVIS_CARRIED (tests/gpu/carry.sh makes that folder) under the names that
# pkg-config gives them elsewhere. There is no window then.
get_filename_component(FEAVIS_CARRIED ${FEAVIS_CARRIED} ABSOLUTE)
function(fv_carried target header)
    add_library(${target} INTERFACE IMPORTED GLOBAL)
    set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES
        "${FEAVIS_CARRIED}/include;${FEAVIS_CARRIED}/include/freetype2")
    if(NOT EXISTS ${FEAVIS_CARRIED}/include/${header})
        message(FATAL_ERROR "${FEAVIS_CARRIED}/include/${header} is not there: tests/gpu/carry.sh")
    endif()
    foreach(name ${ARGN})
        if(NOT EXISTS ${FEAVIS_CARRIED}/lib/lib${name}.so)
            message(FATAL_ERROR "${FEAVIS_CARRIED}/lib/lib${name}.so is not there: tests/gpu/carry.sh")
        endif()
        set_property(TARGET ${target} APPEND PROPERTY INTERFACE_LINK_LIBRARIES
                     ${FEAVIS_CARRIED}/lib/lib${name}.so)
    endforeach()
endfunction()

fv_carried(ZLIB::ZLIB zlib.h z)
fv_carried(PkgConfig::YAML yaml.h yaml)
fv_carried(PkgConfig::UTF8PROC utf8proc.h utf8proc)
fv_carried(PkgConfig::JPEG jpeglib.h jpeg)
fv_carried(PkgConfig::PNG png.h png16)
fv_carried(PkgConfig::WEBP webp/decode.h webpmux webpdemux webp)
fv_carried(PkgConfig::EXIF libexif/exif-data.h exif)
fv_carried(PkgConfig::FREETYPE freetype2/ft2build.h freetype)
fv_carried(PkgConfig::FONTCONFIG fontconfig/fontconfig.h fontconfig)
fv_carried(PkgConfig::CMOCKA cmocka.h cmocka)
# what carried libraries need is found beside them
add_link_options(LINKER:-rpath,${FEAVIS_CARRIED}/lib LINKER:--disable-new-dtags
                 LINKER:-rpath-link,${FEAVIS_CARRIED}/lib)

find_program(XZ xz)
if(NOT XZ)
    set(XZ python3 ${CMAKE_SOURCE_DIR}/tests/gpu/unxz.py)
endif()
