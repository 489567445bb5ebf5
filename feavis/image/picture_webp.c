/* WebP through libwebp; of an animation the first frame. See picture_formats.h. */
#include <string.h>

#include <stdbool.h>
#include <webp/decode.h>
#include <webp/demux.h>

#include "feavis/image/picture_formats.h"

static fv_status damaged(void)
{
    return fv_fail(FV_ERR_FORMAT, "the WebP file is damaged or cut off");
}

static int orientation_of(const WebPData *file)
{
    int orientation = 1;
    WebPDemuxer *demuxer = WebPDemux(file);
    WebPChunkIterator chunk;
    if (demuxer && WebPDemuxGetChunk(demuxer, "EXIF", 1, &chunk)) {
        orientation = fv_exif_orientation(chunk.chunk.bytes, chunk.chunk.size);
        WebPDemuxReleaseChunkIterator(&chunk);
    }
    WebPDemuxDelete(demuxer);
    return orientation;
}

static fv_status read_still(fv_picture *p, const WebPData *file)
{
    int width, height;
    unsigned char *rgba = WebPDecodeRGBA(file->bytes, file->size, &width, &height);
    fv_status s = rgba && width == p->width && height == p->height ? FV_OK : damaged();
    if (s >= 0) fv_picture_flatten(p->rgb, rgba, (size_t)width * (size_t)height);
    WebPFree(rgba);
    return s;
}

static fv_status read_first_frame(fv_picture *p, const WebPData *file)
{
    WebPAnimInfo info;
    uint8_t *rgba; /* the decoder's */
    int time;
    WebPAnimDecoder *decoder = WebPAnimDecoderNew(file, NULL);
    bool ok = decoder && WebPAnimDecoderGetInfo(decoder, &info) &&
              (int)info.canvas_width == p->width && (int)info.canvas_height == p->height &&
              WebPAnimDecoderGetNext(decoder, &rgba, &time);
    if (ok) fv_picture_flatten(p->rgb, rgba, (size_t)p->width * (size_t)p->height);
    WebPAnimDecoderDelete(decoder);
    return ok ? FV_OK : damaged();
}

fv_status fv_picture_read_webp(fv_picture *p, fv_picture_file file)
{
    WebPData data = {file.data, file.size};
    WebPBitstreamFeatures features;
    if (WebPGetFeatures(file.data, file.size, &features) != VP8_STATUS_OK) return damaged();
    FV_TRY(fv_picture_new(p, features.width, features.height, file.size));
    FV_TRY(features.has_animation ? read_first_frame(p, &data) : read_still(p, &data));
    return fv_picture_turn(p, orientation_of(&data));
}
