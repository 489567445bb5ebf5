# libfeavis.so, and `cmake --install`: components library, dev, data, program, doc;
# python on its own.
# The soname's number rises when something public goes or changes its shape (tests/test_layout.c).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(FEAVIS_SOVERSION 0)
set(PACKAGE ${CMAKE_CURRENT_LIST_DIR})

# all of feavis_lib, for others to call; of what is below, what it needs
add_library(feavis_shared SHARED $<TARGET_OBJECTS:feavis_lib>)
set_target_properties(feavis_shared PROPERTIES OUTPUT_NAME feavis EXPORT_NAME feavis
    LINKER_LANGUAGE C VERSION ${PROJECT_VERSION} SOVERSION ${FEAVIS_SOVERSION}
    LINK_DEPENDS ${PACKAGE}/feavis.map LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/feavis)
target_link_libraries(feavis_shared PRIVATE feavis_lib)
target_link_options(feavis_shared PRIVATE LINKER:--version-script=${PACKAGE}/feavis.map)
if(NOT FEAVIS_SANITIZE)
    target_link_options(feavis_shared PRIVATE LINKER:--no-undefined)
endif()
target_include_directories(feavis_shared INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)

set(FEAVIS_DATA ${CMAKE_INSTALL_DATADIR}/feavis)
install(TARGETS feavis_shared EXPORT FeavisTargets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library NAMELINK_COMPONENT dev)
install(TARGETS feavis RUNTIME COMPONENT program)
# a wheel holds no links (feavis/python)
install(FILES $<TARGET_FILE:feavis_shared> DESTINATION lib COMPONENT python EXCLUDE_FROM_ALL
    RENAME libfeavis.so.${FEAVIS_SOVERSION})

file(GLOB PUBLIC_HEADERS ${CMAKE_SOURCE_DIR}/feavis/*.h)
list(FILTER PUBLIC_HEADERS EXCLUDE REGEX "/status\\.h$") # it stands for the one below
install(FILES ${PUBLIC_HEADERS} ${CMAKE_SOURCE_DIR}/kernels/status.h
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/feavis COMPONENT dev)

# relative, so that the tree can be moved
function(from_prefix out folder)
    if(IS_ABSOLUTE ${folder})
        set(${out} ${folder} PARENT_SCOPE)
    else()
        set(${out} "\${prefix}/${folder}" PARENT_SCOPE)
    endif()
endfunction()
set(PC_PREFIX ${CMAKE_INSTALL_PREFIX})
if(NOT IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR})
    file(RELATIVE_PATH up /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
    string(REGEX REPLACE "/$" "" up "${up}")
    set(PC_PREFIX "\${pcfiledir}/${up}")
endif()
from_prefix(PC_LIBDIR ${CMAKE_INSTALL_LIBDIR})
from_prefix(PC_INCLUDEDIR ${CMAKE_INSTALL_INCLUDEDIR})
from_prefix(PC_HOME ${FEAVIS_DATA})
configure_file(${PACKAGE}/feavis.pc.in ${CMAKE_BINARY_DIR}/feavis/feavis.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/feavis/feavis.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT dev)

set(CMAKE_FILES ${CMAKE_INSTALL_LIBDIR}/cmake/Feavis)
install(EXPORT FeavisTargets NAMESPACE feavis:: DESTINATION ${CMAKE_FILES} COMPONENT dev)
configure_package_config_file(${PACKAGE}/FeavisConfig.cmake.in
    ${CMAKE_BINARY_DIR}/feavis/FeavisConfig.cmake INSTALL_DESTINATION ${CMAKE_FILES}
    PATH_VARS FEAVIS_DATA)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/feavis/FeavisConfigVersion.cmake
    COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/feavis/FeavisConfig.cmake
    ${CMAKE_BINARY_DIR}/feavis/FeavisConfigVersion.cmake
    DESTINATION ${CMAKE_FILES} COMPONENT dev)

# what fv_home looks for: the models that ship, and presets
install(DIRECTORY ${CMAKE_SOURCE_DIR}/presets DESTINATION ${FEAVIS_DATA} COMPONENT data
    FILES_MATCHING PATTERN *.yml PATTERN *.txt)
file(GLOB MODELS CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/model/*/*.safetensors)
foreach(weights ${MODELS})
    get_filename_component(folder ${weights} DIRECTORY)
    install(DIRECTORY ${folder} DESTINATION ${FEAVIS_DATA}/model COMPONENT data FILES_MATCHING
        PATTERN *.safetensors PATTERN *.yml PATTERN *.json PATTERN *.txt PATTERN LICENSE
        PATTERN classes.tsv PATTERN lexicon.tsv PATTERN groups.tsv PATTERN __pycache__ EXCLUDE)
endforeach()

install(DIRECTORY ${CMAKE_SOURCE_DIR}/model/text/clip DESTINATION ${FEAVIS_DATA}/model/text
    COMPONENT data)

set(DOC ${CMAKE_INSTALL_DATADIR}/doc/feavis)
foreach(file README.md RESULTS.md feavis/README.md presets/README.md model/mini/README.md
        model/vqgan-mini/README.md model/judge/README.md)
    get_filename_component(folder ${file} DIRECTORY)
    install(FILES ${CMAKE_SOURCE_DIR}/${file} DESTINATION ${DOC}/${folder} COMPONENT doc)
endforeach()
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION ${DOC} COMPONENT library)
