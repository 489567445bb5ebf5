/* The page of an atlas: one file that holds its pictures, data and program (atlas.html, built in)
 * and asks the network for nothing. See atlas.h.
 *
 *   {"model", "layer", "side", "columns", "sheets": [JPEG ...], "channels": [...], "photos": ...}
 */
#include <stdlib.h>
#include <string.h>

#include "app/cli/atlas.h"
#include "app/cli/atlas_html.h"
#include "app/cli/json.h"
#include "feavis/names.h"

enum { QUALITY = 80, THUMB_QUALITY = 75, SHEET = 16 }; /* tiles across and down a sheet */

/* --- text of the page --- */

/* A JSON string that may stand in a page: nothing in it ends a script. */
static void quote(FILE *to, const char *text)
{
    fputc('"', to);
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (*at == '"' || *at == '\\')
            fprintf(to, "\\%c", *at);
        else if (*at < 0x20 || *at == '<' || *at == '>' || *at == '&' || *at == 0x7f)
            fprintf(to, "\\u%04x", *at);
        else
            fputc(*at, to);
    }
    fputc('"', to);
}

static void base64(FILE *to, const unsigned char *data, size_t size)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        size_t n = size - i < 3 ? size - i : 3;
        unsigned x = (unsigned)data[i] << 16 | (n > 1 ? (unsigned)data[i + 1] << 8 : 0) |
                     (n > 2 ? data[i + 2] : 0);
        fputc(letters[x >> 18], to);
        fputc(letters[x >> 12 & 63], to);
        fputc(n > 1 ? letters[x >> 6 & 63] : '=', to);
        fputc(n > 2 ? letters[x & 63] : '=', to);
    }
}

/* --- sheets --- */

typedef const fv_picture *(*tile_fn)(const atlas *a, int i);

static const fv_picture *channel_tile(const atlas *a, int i)
{
    return &a->at[i].picture;
}

static const fv_picture *photo_tile(const atlas *a, int i)
{
    return &a->small[i];
}

/* Tiles first to first + count, in rows of SHEET, as a data URI. */
static fv_status put_sheet(FILE *to, const atlas *a, tile_fn tile, int first, int count, int side,
                           int quality)
{
    int columns = count < SHEET ? count : SHEET, lines = (count + SHEET - 1) / SHEET;
    size_t row = (size_t)side * 3;
    fv_picture sheet = {columns * side, lines * side,
                        calloc((size_t)columns * (size_t)lines * (size_t)side, row)};
    if (!sheet.rgb) return fv_fail(FV_ERR_MEMORY, "the page: out of memory");
    for (int i = 0; i < count; i++)
        for (int y = 0; y < side; y++)
            memcpy(sheet.rgb +
                       (((size_t)(i / SHEET * side + y) * (size_t)columns) + (size_t)(i % SHEET)) *
                           row,
                   tile(a, first + i)->rgb + (size_t)y * row, row);
    unsigned char *data;
    size_t size;
    fv_status s = fv_picture_jpeg(&data, &size, &sheet, quality);
    fv_picture_free(&sheet);
    FV_TRY(s);
    fputs("\"data:image/jpeg;base64,", to);
    base64(to, data, size);
    fputc('"', to);
    free(data);
    return FV_OK;
}

static fv_status put_sheets(FILE *to, const atlas *a, tile_fn tile, int count, int side,
                            int quality)
{
    fprintf(to, "\"side\":%d,\"columns\":%d,\"sheets\":[", side, SHEET);
    for (int i = 0; i < count; i += SHEET * SHEET) {
        int n = count - i < SHEET * SHEET ? count - i : SHEET * SHEET;
        fputs(i ? ",\n" : "\n", to);
        FV_TRY(put_sheet(to, a, tile, i, n, side, quality));
    }
    fputs("]", to);
    return FV_OK;
}

/* --- channels --- */

static void put_names(FILE *to, const atlas *a, const char *key, const atlas_names *n)
{
    fprintf(to, ",\"%s\":[", key);
    for (int k = 0; k < ATLAS_LANGUAGES; k++) {
        fputs(k ? ",[" : "[", to);
        for (int i = 0; i < n->count[k]; i++) {
            if (i) fputc(',', to);
            quote(to, a->words.at[n->at[k][i].index]);
        }
        fputc(']', to);
    }
    fputc(']', to);
}

/* Photos that are shown, in the order in which channels name them; number[i]: of photo i, or -1. */
static int number_photos(const atlas *a, int *number, int *shown)
{
    int count = 0;
    for (int i = 0; i < a->photos.count; i++) number[i] = -1;
    for (int i = 0; i < a->count; i++)
        for (int k = 0; k < a->at[i].photo_count; k++) {
            int photo = a->at[i].photos[k].index;
            if (number[photo] >= 0) continue;
            shown[count] = photo;
            number[photo] = count++;
        }
    return count;
}

static void put_channel(FILE *to, const atlas *a, int i, const int *number)
{
    const atlas_channel *one = &a->at[i];
    fprintf(to, "{\"n\":%d,\"r\":%.3g,\"g\":%d", one->number, (double)one->reached, a->grid[i]);
    put_names(to, a, "w", &one->seen);
    if (a->direct) put_names(to, a, "h", &one->pulled);
    fputs(",\"l\":[", to);
    for (int k = 0; k < one->like_count; k++) fprintf(to, "%s%d", k ? "," : "", one->like[k]);
    fputs("],\"p\":[", to);
    for (int k = 0; k < one->photo_count; k++)
        fprintf(to, "%s[%d,%.3g]", k ? "," : "", number[one->photos[k].index],
                (double)one->photos[k].score);
    fputs("]}", to);
}

/* The thumbnails that channels show are moved to the front, in the order of their numbers. */
static fv_status put_photos(FILE *to, const atlas *a, const int *shown, int count)
{
    fv_picture *tiles = malloc((size_t)count * sizeof *tiles);
    if (!tiles) return fv_fail(FV_ERR_MEMORY, "the page: out of memory");
    atlas view = *a;
    for (int i = 0; i < count; i++) tiles[i] = a->small[shown[i]];
    view.small = tiles;
    fputs(",\n\"photos\":{", to);
    fv_status s = put_sheets(to, &view, photo_tile, count, ATLAS_THUMB, THUMB_QUALITY);
    fputs(",\"names\":[", to);
    for (int i = 0; i < count; i++) {
        char *name = atlas_photo_name(a, shown[i]);
        if (i) fputc(',', to);
        quote(to, name ? name : "");
        free(name);
    }
    fputs("]}", to);
    free(tiles);
    return s;
}

fv_status atlas_command(const atlas *a, char **before, char **after)
{
    static const char *const names[] = {"guide", "config", "checkpoint", "vocab", "tower"};
    char *text = NULL;
    size_t size;
    const fv_options *o = a->c->options;
    int n = a->direct ? asprintf(before, "feavis neuron ")
                      : asprintf(before, "feavis imagine --term '%s:", a->how.layer);
    FILE *f = n < 0 ? NULL : open_memstream(&text, &size);
    if (!f) return fv_fail(FV_ERR_MEMORY, "the page: out of memory");
    if (!a->direct) fputc('\'', f);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = fv_options_get(o, names[i]), *slash = strrchr(value, '/');
        if (fv_options_is_default(o, names[i])) continue;
        fprintf(f, " --%s '", names[i]); /* a shell takes nothing in it for its own */
        for (const char *at = slash && i ? slash + 1 : value; *at; at++)
            fputs(*at == '\'' ? "'\\''" : (const char[]){*at, 0}, f);
        fputc('\'', f);
    }
    fclose(f);
    *after = text;
    return FV_OK;
}

static fv_status put_head(FILE *to, const atlas *a)
{
    char *before = NULL, *after = NULL;
    FV_TRY(atlas_command(a, &before, &after));
    fputs("{\"model\":", to);
    quote(to, fv_model_title(a->model));
    fputs(",\"weights\":", to);
    quote(to, fv_model_fingerprint(a->model));
    fputs(",\"layer\":", to);
    quote(to, a->how.layer);
    fprintf(to, ",\"all\":%d,\"steps\":%d,\"wall\":%d,\"command\":[", a->channels, a->how.steps,
            a->grid_columns);
    quote(to, before);
    fputc(',', to);
    quote(to, after);
    fputs("],\n", to);
    free(before);
    free(after);
    return FV_OK;
}

static fv_status put_data(FILE *to, const atlas *a)
{
    size_t photos = (size_t)a->photos.count + 1;
    int *number = malloc(photos * sizeof *number), *shown = malloc(photos * sizeof *shown);
    fv_status s =
        number && shown ? put_head(to, a) : fv_fail(FV_ERR_MEMORY, "the page: out of memory");
    int count = s >= 0 ? number_photos(a, number, shown) : 0;
    if (s >= 0) s = put_sheets(to, a, channel_tile, a->count, a->how.side, QUALITY);
    fputs(",\n\"channels\":[", to);
    for (int i = 0; s >= 0 && i < a->count; i++) {
        fputs(i ? ",\n" : "\n", to);
        put_channel(to, a, i, number);
    }
    fputs("]", to);
    if (s >= 0 && count) s = put_photos(to, a, shown, count);
    fputs("}", to);
    free(number);
    free(shown);
    return s;
}

/* --- files --- */

static void put_cell(FILE *to, const atlas *a, const atlas_names *n, int language)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    fputc(',', to);
    if (!f) return;
    for (int i = 0; i < n->count[language]; i++)
        fprintf(f, "%s%s", i ? "; " : "", a->words.at[n->at[language][i].index]);
    fclose(f);
    many_field(to, text);
    free(text);
}

static void put_photo_cell(FILE *to, const atlas *a, const atlas_channel *one)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    fputc(',', to);
    if (!f) return;
    for (int k = 0; k < one->photo_count; k++) {
        char *name = atlas_photo_name(a, one->photos[k].index);
        fprintf(f, "%s%s", k ? "; " : "", name ? name : "");
        free(name);
    }
    fclose(f);
    many_field(to, text);
    free(text);
}

static fv_status save_table(const atlas *a)
{
    many_file f;
    FV_TRY(many_open(&f));
    fputs("channel,reached,chinese,english,head_chinese,head_english,photos\n", f.to);
    for (int i = 0; i < a->count; i++) {
        const atlas_channel *one = &a->at[i];
        fprintf(f.to, "%d,%.4f", one->number, (double)one->reached);
        for (int k = 0; k < 2 * ATLAS_LANGUAGES; k++)
            put_cell(f.to, a, k < ATLAS_LANGUAGES ? &one->seen : &one->pulled, k % ATLAS_LANGUAGES);
        put_photo_cell(f.to, a, one);
        fputc('\n', f.to);
    }
    return many_save(&f, a->folder, "atlas.csv");
}

static void tell(const atlas *a, size_t bytes)
{
    char *path;
    many_tell(a->folder, "atlas.csv");
    if (!json_on()) {
        printf("%s/atlas.html\n", a->folder);
        if (!a->c->quiet)
            fprintf(stderr, "feavis: %d channels of %s on a page of %.1f MB\n", a->count,
                    a->how.layer, (double)bytes / 1e6);
        return;
    }
    if (many_path(&path, a->folder, "atlas.html") < 0) return;
    json_begin("atlas");
    json_path("path", path);
    json_text("layer", a->how.layer);
    json_whole("channels", a->count);
    json_whole("of", a->channels);
    json_whole("photos", a->photos.count);
    json_whole("bytes", (long long)bytes);
    json_end();
    free(path);
}

fv_status atlas_save_page(const atlas *a)
{
    static const char mark[] = "@DATA@";
    many_file f;
    const char *page = (const char *)atlas_html, *at = strstr(page, mark);
    FV_TRY(many_open(&f));
    fwrite(page, 1, (size_t)(at - page), f.to);
    fv_status s = put_data(f.to, a);
    fputs(at + sizeof mark - 1, f.to);
    if (s < 0) {
        fclose(f.to);
        free(f.text);
        return s;
    }
    fflush(f.to);
    size_t bytes = f.size;
    FV_TRY(many_save(&f, a->folder, "atlas.html"));
    FV_TRY(save_table(a));
    tell(a, bytes);
    return FV_OK;
}
