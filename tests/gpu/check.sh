#!/bin/bash
# Everything that is to be known from a GPU, in one go of at most nine minutes, on a machine that has
# nvcc, CMake, a compiler and Python with PyTorch and timm, and neither packages, network nor display.
#   tests/gpu/carry.sh build/carried                 where the libraries' packages are; carry it along
#   tests/gpu/check.sh [--out FOLDER] [--build FOLDER] [--carried FOLDER] [--seconds N] [--rehearse]
# Builds, then runs the tests of ops and of whole plans in every precision, compute-sanitizer, a recipe
# twice, and the comparison with PyTorch with a table of ops beside the roofline. Each step has its own
# limit, and none stops the others. FOLDER gets report.txt (all that was printed) and results.csv.
# --rehearse goes the same way on a machine without a GPU (REHEARSE_CUDA=ON: nvcc compiles the kernels),
# tests run on the emulator, and PyTorch and the program are timed on the processor, small. SLOW=9: limits
# nine times as long, for a machine that others use. ONLY="ops bench": these steps alone.
set -u
cd "$(dirname "$0")/../.." || exit 1
out=build/gpu-check build=build/gpu carried=build/carried seconds=530 rehearse=
while [ $# -gt 0 ]; do
    case $1 in
        --out) out=$2; shift ;;
        --build) build=$2; shift ;;
        --carried) carried=$2; shift ;;
        --seconds) seconds=$2; shift ;;
        --rehearse) rehearse=yes ;;
        *) sed -n '2,14s/^# *//p' "$0" >&2; exit 2 ;;
    esac
    shift
done
mkdir -p "$out" "$build" || exit 1
out=$(cd "$out" && pwd) build=$(cd "$build" && pwd)
[ ! -d "$carried" ] || carried=$(cd "$carried" && pwd)
work=$build/check
mkdir -p "$work"
report=$out/report.txt table=$out/results.csv
: >"$report"
echo "what,case,value,unit,note" >"$table"
start=$(date +%s)
bad=0
[ -z "$rehearse" ] || export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
export PATH=$PATH:/usr/local/cuda/bin PYTHONUNBUFFERED=1
export FEAVIS_SOURCE=$PWD FEAVIS_UNPACKED=$build/tests/unpacked FEAVIS_PROGRAM=$build/app/feavis
python=${PYTHON:-python3}
jobs=$(nproc)

left() { echo $((seconds - $(date +%s) + start)); }
say() { echo "$@" | tee -a "$report"; }

# step NAME LIMIT COMMAND...: the last lines on the screen, all of it in the report
step() {
    local name=$1 limit=$(($2 * ${SLOW:-1})) began rc how
    shift 2
    [ "$(left)" -lt "$limit" ] && limit=$(left)
    case " ${ONLY:-$name} " in *" $name "*) ;; *) return ;; esac
    if [ "$limit" -lt 5 ]; then
        say "== $name: no time left"; bad=1; return
    fi
    say "== $name (at most $limit s)"
    began=$(date +%s)
    timeout -k 5 "$limit" "$@" >"$work/$name.log" 2>&1
    rc=$?
    case $rc in
        0) how=ok ;;
        77) how=skipped ;;
        124 | 137) how="too long" bad=1 ;;
        *) how="FAILED ($rc)" bad=1 ;;
    esac
    cat "$work/$name.log" >>"$report"
    tail -n "${lines:-4}" "$work/$name.log"
    say "== $name: $how, $(($(date +%s) - began)) s"
    echo "step,$name,$(($(date +%s) - began)),s,$how" >>"$table"
}

# --- what each step does ---

machine() {
    nvidia-smi --query-gpu=name,driver_version,memory.total,compute_cap --format=csv,noheader
    nvcc --version | tail -2
    cmake --version | head -1
    cc --version | head -1
    "$python" -c 'import torch; print("torch", torch.__version__, "cuda", torch.version.cuda, "cudnn",
        torch.backends.cudnn.version(), torch.cuda.is_available())'
    for l in libcublasLt libcudnn; do ldconfig -p | grep -m1 "$l" || echo "$l: not in ldconfig's list"; done
    true
}

# Libraries that only PyTorch's packages hold are found by dlopen through this.
library_path() {
    "$python" - <<'P'
import glob, os, torch
root = os.path.join(os.path.dirname(os.path.dirname(torch.__file__)), 'nvidia')
print(':'.join(sorted({os.path.dirname(f) for f in glob.glob(root + '/**/lib*.so*', recursive=True)
                       if 'cublas' in f or 'cudnn' in f or 'nvrtc' in f})))
P
}

# cudnn.h, if only PyTorch's packages hold it
header_path() {
    "$python" - <<'P'
import glob, os, torch
root = os.path.join(os.path.dirname(os.path.dirname(torch.__file__)), 'nvidia')
print(next(iter(os.path.dirname(f) for f in glob.glob(root + '/**/cudnn.h', recursive=True)), ''))
P
}

build_all() {
    local arch cuda=ON generator=
    arch=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -1 | tr -d .)
    [ -n "$rehearse" ] && cuda=${REHEARSE_CUDA:-OFF}
    [ -x "$(command -v ninja)" ] && generator="-G Ninja"
    [ -d "$carried/lib" ] && carried="-DFEAVIS_CARRIED=$carried" || carried=
    # shellcheck disable=SC2086  # one word each, or none
    cmake -S . -B "$build" $generator -DCMAKE_BUILD_TYPE=Release -DFEAVIS_CUDA=$cuda \
        -DFEAVIS_CUDA_ARCHS="${arch:-90}" $carried "-DFEAVIS_CUDNN_HEADERS=$(header_path)" || return 1
    cmake --build "$build" -j "$jobs" --target bench test_ops test_cuda test_vqgan test_clip feavis unpacked
}

# in the background, while the compiler runs: random weights of full size
make_weights() {
    [ -n "$rehearse" ] || "$python" tests/bench/make_b5.py "$work/b5" --lean
    [ -n "$rehearse" ] || "$python" tests/bench/make_vqgan.py "$work/vqgan"
    [ -n "$rehearse" ] || "$python" tests/clip_official.py make "$work/clip" --only vit_b32
}

in_scratch() {
    mkdir -p "$work/scratch" && cd "$work/scratch" && "$@"
}

test_of() { # NAME: on the GPU, or on the emulator
    if [ -n "$rehearse" ]; then in_scratch "$build/tests/$1"; else in_scratch "$build/tests/$1" gpu; fi
}

plans() {
    local rc=0
    for t in test_cuda test_clip test_vqgan; do
        [ -n "$rehearse" ] && [ $t = test_clip ] && continue # what it has of the emulator is in the other two
        echo "-- $t"
        test_of $t || rc=1
    done
    return $rc
}

sanitizer() { # TOOL
    if [ -z "$(command -v compute-sanitizer)" ]; then
        echo "compute-sanitizer is not here"; return 77
    fi
    in_scratch compute-sanitizer --tool "$1" --error-exitcode 9 --print-limit 20 "$build/tests/test_cuda" gpu
}

# The same recipe in two processes, and again from the picture that the first one made.
same_bytes() {
    local where
    where=$([ -n "$rehearse" ] && echo cpu || echo "$1")
    in_scratch rm -f a.png b.png c.png
    for f in a b; do
        in_scratch "$build/app/feavis" imagine butterfly --steps 12 --seed 3 --backend "$where" --quiet \
            --out $f.png || return 1
    done
    in_scratch "$build/app/feavis" again a.png --backend "$where" --quiet --out c.png || return 1
    in_scratch cmp a.png b.png && in_scratch cmp a.png c.png && echo "$where: the same bytes three times"
}

compare() {
    local limit
    limit=$(($(left) - 15))
    [ $limit -gt 245 ] && [ -z "${SLOW:-}" ] && limit=245
    "$python" tests/bench/bench_cuda.py --folder "$work" --bench "$build/tests/bench" --csv "$table" \
        --seconds "$limit" ${rehearse:+--rehearse}
}

# --- in order of what would be missed most ---

export -f step say machine library_path header_path build_all in_scratch test_of plans sanitizer same_bytes \
    compare left make_weights
export out build work carried table seconds start rehearse python jobs

say "feavis $(git rev-parse --short HEAD 2>/dev/null), $(date -u +%FT%TZ)${rehearse:+, a rehearsal without a GPU}"
LD_LIBRARY_PATH=$(library_path 2>/dev/null)${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
lines=9 step machine 40 bash -c machine
bash -c make_weights >"$work/weights.log" 2>&1 &
weights=$!
step build 200 bash -c build_all
step ops 75 bash -c "test_of test_ops"
step plans 60 bash -c plans
step same_bytes_fp32 15 bash -c "same_bytes cuda:fp32"
step same_bytes_fp16 15 bash -c "same_bytes cuda:fp16"
wait $weights
cat "$work/weights.log" >>"$report"
lines=60 step bench 260 bash -c compare
step memcheck 60 bash -c "sanitizer memcheck"
step racecheck 60 bash -c "sanitizer racecheck"
say "all: $(($(date +%s) - start)) s, $([ $bad = 0 ] && echo nothing failed || echo "something failed or had no time")"
exit $bad
