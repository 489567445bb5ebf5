/* feavis atlas: what its parts share. atlas.c grows pictures into a folder, atlas_words.c finds the
 * words and photos of each channel, atlas_order.c lays out the wall, atlas_page.c writes the page.
 *
 *   folder/atlas.yml              what the pictures are of; another run is refused
 *   folder/channels-00016.png     channels 16 to 31 side by side: whole or not there
 *   folder/atlas.html, atlas.csv  made of them in a second step */
#ifndef APP_ATLAS_H
#define APP_ATLAS_H

#include "app/cli/many.h"
#include "feavis/atlas.h"
#include "feavis/top.h"

enum {
    ATLAS_CHUNK = 16, /* channels a file, and a run of the network */
    ATLAS_WORDS = 6,  /* at most, a channel and language */
    ATLAS_PHOTOS = 3,
    ATLAS_LIKE = 6, /* channels that are alike */
    ATLAS_LANGUAGES = 2
};

/* What the pictures are of. */
typedef struct atlas_settings {
    char layer[128];
    int first, last; /* channels; last -1: to the layer's end */
    int side, steps;
    uint64_t seed;
    char model[128], weights[32];
} atlas_settings;

/* Up to ATLAS_WORDS words of each language, best first: index in the list of words. */
typedef struct atlas_names {
    fv_hit at[ATLAS_LANGUAGES][ATLAS_WORDS];
    int count[ATLAS_LANGUAGES];
} atlas_names;

/* A channel whose picture is there. */
typedef struct atlas_channel {
    int number;
    fv_picture picture; /* side x side */
    float reached;      /* mean of the channel in it */
    atlas_names seen;   /* words nearest to the picture */
    atlas_names pulled; /* words that the head moves it to */
    fv_hit photos[ATLAS_PHOTOS];
    int photo_count;
    int like[ATLAS_LIKE]; /* indices of channels whose pictures are alike */
    int like_count;
} atlas_channel;

typedef struct atlas {
    cli *c;
    const char *folder;
    atlas_settings how;
    fv_model *model;
    int channels; /* of the layer */
    bool direct;  /* the layer is the last map: the head tells words of its own */
    atlas_channel *at;
    int count;
    float *rows;       /* [count][dim]: centred unit embeddings of the pictures */
    fv_list words;     /* all that were asked */
    fv_list photos;    /* that could be read */
    size_t photo_base; /* bytes of their paths before what they are named by */
    fv_picture *small; /* [photos.count] thumbnails, ATLAS_THUMB a side */
    int *grid;         /* [count] cell of each channel on the wall by likeness */
    int grid_columns;
} atlas;

enum { ATLAS_THUMB = 64 };

/* Rows of unit length minus their mean, and of unit length again. */
void atlas_centre(float *rows, int count, int dim);
float atlas_dot(const float *a, const float *b, int dim);
/* Embeddings and words of the pictures that are there; photos of --photos. */
fv_status atlas_look(atlas *a);
fv_status atlas_photos(atlas *a);
/* Photo i by its path in the folder of --photos, or in the one that all of a list are in; as
 * fv_name_escaped has it. Caller frees; NULL: out of memory. */
char *atlas_photo_name(const atlas *a, int i);
fv_status atlas_words(atlas *a);
/* The channels nearest to a text, printed. */
fv_status atlas_search(atlas *a, const char *text);
/* Neighbours, and the wall by likeness. */
fv_status atlas_arrange(atlas *a);
/* atlas.html and atlas.csv. */
fv_status atlas_save_page(const atlas *a);
/* "feavis neuron 108" without the number, and what follows it; caller frees both. */
fv_status atlas_command(const atlas *a, char **before, char **after);

#endif
