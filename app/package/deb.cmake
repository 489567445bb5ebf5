# Debian packages by CPack, one for each component: feavis (program), feavis-data (models, presets),
# libfeavis0, libfeavis-dev, python3-feavis (with the library of libfeavis0), feavis-doc. What they need of others is read from the programs
# (dpkg-shlibdeps). Release builds alone: set up with -DCMAKE_INSTALL_PREFIX=/usr.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME feavis)
set(CPACK_PACKAGE_CONTACT "The feavis maintainers <feavis@feavis.example>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "see what an image-text model imagines")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL program data library dev python3 doc)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_ENABLE_COMPONENT_DEPENDS OFF)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(VERSION ${PROJECT_VERSION}-1)

function(package component name section text)
    string(TOUPPER ${component} C)
    set(CPACK_DEBIAN_${C}_PACKAGE_NAME ${name} PARENT_SCOPE)
    set(CPACK_DEBIAN_${C}_PACKAGE_SECTION ${section} PARENT_SCOPE)
    set(CPACK_COMPONENT_${C}_DESCRIPTION "${ABOUT}${text}" PARENT_SCOPE)
    # every package has its copyright and changelog
    configure_file(${APP_PACKAGE}/copyright ${MADE}/${name}/copyright COPYONLY)
    execute_process(COMMAND gzip -9nc ${APP_PACKAGE}/changelog
        OUTPUT_FILE ${MADE}/${name}/changelog.Debian.gz)
    install(FILES ${MADE}/${name}/copyright ${MADE}/${name}/changelog.Debian.gz
        DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${name} COMPONENT ${component} EXCLUDE_FROM_ALL)
endfunction()
# for packages alone: elsewhere pip puts it where it belongs
install(DIRECTORY ${CMAKE_SOURCE_DIR}/feavis/python/feavis DESTINATION lib/python3/dist-packages
    COMPONENT python3 EXCLUDE_FROM_ALL FILES_MATCHING PATTERN *.py PATTERN py.typed
    PATTERN __pycache__ EXCLUDE)

set(ABOUT "feavis climbs from noise, along the gradient of the image-text cosine of a
frozen model (BriVL, CLIP), into a picture of a word or a poem, and shows
what its neurons want to see.\n\n")
package(program feavis graphics "This package has the program: a window and a command line.")
package(data feavis-data graphics
    "This package has the small model for Chinese and English that ships,\nand presets.")
package(library libfeavis${FEAVIS_SOVERSION} libs "This package has the shared library.")
package(dev libfeavis-dev libdevel
    "This package has what programs are built with that use the library.")
package(python3 python3-feavis python "This package has the binding for Python 3.")
package(doc feavis-doc doc "This package has the documentation.")
set(CPACK_DEBIAN_PROGRAM_PACKAGE_DEPENDS "feavis-data (= ${VERSION})")
set(CPACK_DEBIAN_PROGRAM_PACKAGE_RECOMMENDS "fonts-noto-cjk, libgl1-mesa-dri")
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SUGGESTS feavis-doc)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_RECOMMENDS feavis-data)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA ${MADE}/triggers)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "libfeavis${FEAVIS_SOVERSION} (= ${VERSION})")
set(CPACK_DEBIAN_PYTHON3_PACKAGE_DEPENDS
    "libfeavis${FEAVIS_SOVERSION} (>= ${VERSION}), feavis-data (= ${VERSION}), python3 (>= 3.9), python3-numpy")
set(CPACK_DEBIAN_PYTHON3_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_PYTHON3_PACKAGE_SHLIBDEPS OFF)
set(CPACK_DEBIAN_DATA_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_DOC_PACKAGE_ARCHITECTURE all)
file(WRITE ${MADE}/triggers "activate-noawait ldconfig\n")
include(CPack)
