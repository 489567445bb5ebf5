/* Lines of text as masks: FreeType glyphs from the fonts that fontconfig knows. No shaping beyond
 * one glyph a character, which is right for Chinese and for Latin labels. */
#ifndef FV_FONT_H
#define FV_FONT_H

#include <stdint.h>

#include "kernels/status.h"

typedef struct fv_fonts fv_fonts;

/* Fonts for Chinese and Latin in the order of fontconfig's preference for zh-cn. A machine with
 * no font at all gives masks of width 0. $FEAVIS_FONT, a font file, comes before all others. */
fv_status fv_fonts_open(fv_fonts **out);
/* Of this family first, in fontconfig's words. */
#define FV_FONTS_SANS  "sans-serif:lang=zh-cn"
#define FV_FONTS_SERIF "serif:lang=zh-cn"
fv_status fv_fonts_open_as(fv_fonts **out, const char *family);
void fv_fonts_close(fv_fonts *f);
/* Characters so far that no font has; they are drawn as empty boxes. */
int fv_fonts_missing(const fv_fonts *f);

/* How much ink each pixel has, 0 to 255. */
typedef struct fv_mask {
    int width, height;
    int baseline;   /* row of the baseline */
    uint8_t *alpha; /* [height][width]; NULL if the width is 0 */
} fv_mask;

/* text in letters of `size` pixels; wider than `limit` pixels: cut, with an ellipsis. Caller
 * frees mask->alpha. */
fv_status fv_fonts_line(fv_fonts *f, const char *text, int size, int limit, fv_mask *mask);

#endif
