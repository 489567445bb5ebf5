/* The one place where stb's image reader and writer are compiled (Sean Barrett, public domain). */
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_FAILURE_USERMSG
#define STBI_MAX_DIMENSIONS 32768
/* read by libraries of their own, or not at all */
#define STBI_NO_JPEG
#define STBI_NO_PNG
#define STBI_NO_PNM
#define STBI_NO_HDR
#define STBI_NO_PIC
/* of a damaged file it may keep what it has not written: black, never what was there before */
#include <stdlib.h>
#define STBI_MALLOC(size)          calloc(1, size)
#define STBI_REALLOC(memory, size) realloc(memory, size)
#define STBI_FREE(memory)          free(memory)
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>
