# The cuda backend: on if nvcc is found (FEAVIS_CUDA=AUTO), compiled by nvcc into plain objects of
# fv_kernels. The runtime is linked statically; the driver and cuBLASLt are looked for when the
# backend is opened, so the program has no CUDA library among its dependencies.
if(NOT FEAVIS_CUDA STREQUAL "OFF")
    find_program(FEAVIS_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH
                 PATHS /usr/local/cuda/bin /opt/cuda/bin)
    if(FEAVIS_NVCC)
        set(CUDAToolkit_ROOT ${FEAVIS_NVCC}/../..)
        find_package(CUDAToolkit QUIET)
        find_path(FEAVIS_CUBLASLT cublasLt.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
    endif()
    if(NOT FEAVIS_NVCC OR NOT TARGET CUDA::cudart_static OR NOT FEAVIS_CUBLASLT)
        if(FEAVIS_CUDA STREQUAL "ON")
            message(FATAL_ERROR "FEAVIS_CUDA=ON, but nvcc, cudart or the headers of cuBLAS were "
                                "not found: install a CUDA toolkit or set FEAVIS_NVCC")
        endif()
        message(STATUS "cuda backend: off (no nvcc with cudart and cuBLAS headers)")
        set(FEAVIS_NVCC FEAVIS_NVCC-NOTFOUND)
    endif()
endif()
if(FEAVIS_CUDA STREQUAL "OFF" OR NOT FEAVIS_NVCC)
    return()
endif()

# Binaries for these, and the newest as PTX, which the driver compiles for later ones. Code for
# 8.0 also runs on 8.6 and 8.9.
set(archs ${FEAVIS_CUDA_ARCHS})
if(archs STREQUAL "default")
    set(archs 75 80 90)
elseif(archs STREQUAL "all")
    set(archs 75 80 86 89 90 100 120)
endif()
execute_process(COMMAND ${FEAVIS_NVCC} --list-gpu-code OUTPUT_VARIABLE known)
set(gencode)
set(newest)
foreach(arch ${archs})
    if(known MATCHES "sm_${arch}\n")
        list(APPEND gencode -gencode=arch=compute_${arch},code=sm_${arch})
        set(newest ${arch})
    endif()
endforeach()
if(NOT newest)
    message(FATAL_ERROR "FEAVIS_CUDA_ARCHS=${FEAVIS_CUDA_ARCHS}: this nvcc knows none of them")
endif()
list(APPEND gencode -gencode=arch=compute_${newest},code=compute_${newest})
message(STATUS "cuda backend: ${FEAVIS_NVCC}, sm ${archs}, PTX ${newest}")

# cudnn.h is among the toolkit's headers, or here; without it there are no convolutions by cuDNN
set(FEAVIS_CUDNN_HEADERS "" CACHE PATH "folder of cudnn.h")
set(cudnn)
if(FEAVIS_CUDNN_HEADERS)
    set(cudnn -I${FEAVIS_CUDNN_HEADERS})
endif()

file(GLOB FV_CUDA CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.cu)
foreach(source ${FV_CUDA})
    get_filename_component(name ${source} NAME_WE)
    set(object ${CMAKE_CURRENT_BINARY_DIR}/cuda_${name}.o)
    add_custom_command(OUTPUT ${object}
        COMMAND ${CMAKE_C_COMPILER_LAUNCHER} ${FEAVIS_NVCC} -c ${source} -o ${object} -std=c++17
                -O3 ${gencode} -I${CMAKE_SOURCE_DIR} ${cudnn} -D_GNU_SOURCE
                -Xcompiler=-Wall,-Wextra,-Wno-unused-parameter,-O2,-fPIC,-fvisibility=hidden
                -Werror all-warnings
                -MD -MF ${object}.d
        DEPENDS ${source} DEPFILE ${object}.d COMMENT "nvcc ${name}.cu" VERBATIM)
    target_sources(fv_kernels PRIVATE ${object})
endforeach()
target_compile_definitions(fv_kernels PRIVATE FV_WITH_CUDA)
target_link_libraries(fv_kernels PRIVATE CUDA::cudart_static stdc++)
# for whoever links libfv_kernels.a by hand
set(FEAVIS_CUDA_RUNTIME ${CUDA_cudart_static_LIBRARY} -lstdc++ -ldl -lrt PARENT_SCOPE)
