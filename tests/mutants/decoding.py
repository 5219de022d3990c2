"""Mutants of what makes media out of untrusted bytes: the reader of headers, the layers, the count of frames."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_MEDIA = "runtime/media"
_DECODING, _PROGRAM = f"{_MEDIA}/decoding.py", f"{_MEDIA}/confined_program.py"
_PICTURES, _TIMES, _NOTES = f"{_MEDIA}/pictures.py", f"{_MEDIA}/frame_times.py", f"{_MEDIA}/frame_notes.py"
_PREPARATION, _SIZE = f"{_MEDIA}/preparation.py", f"{_MEDIA}/picture_size.py"
_HOSTILE = "tests/unit/runtime/media/test_hostile_headers.py::test_a_hostile_file_is_refused_before_any_decoder"
_FRAMES = "tests/unit/runtime/media/test_frames.py"
_SIZES = "tests/unit/runtime/media/test_picture_size.py"
_BAD = "tests/process/runtime/test_corpus.py::test_a_bad_file_is_refused"
_BECOMES = "tests/process/runtime/test_corpus.py::test_a_good_file_becomes_frames"
_LAYERS = "tests/process/runtime/test_decoder_layers.py"
_REACHES_NOTHING = f"{_LAYERS}::test_a_decoder_that_was_taken_over_reaches_nothing"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "a Matroska element reaches beyond its end",
        f"{_MEDIA}/matroska.py",
        "        if upto > end:\n",
        "        if False:\n",
        f"{_HOSTILE}[cut.mkv]",
    ),
    Mutant(
        "a track may lie in another file",
        f"{_MEDIA}/iso_media.py",
        "            if not number(reader, entry, 0, 4) & 1:\n",
        "            if False:\n",
        f"{_HOSTILE}[data-elsewhere.mov]",
    ),
    Mutant(
        "an edit list has any length",
        f"{_MEDIA}/iso_media.py",
        "    if track.edits > EDITS_MAX:\n",
        "    if False:\n",
        f"{_HOSTILE}[a-hundred-edits.mp4]",
    ),
    Mutant(
        "a header of any size is read",
        f"{_MEDIA}/file_reader.py",
        "        if self._bytes_left < 0:\n",
        "        if False:\n",
        "tests/unit/runtime/media/test_hostile_headers.py::test_a_header_costs_no_more_than_its_budget_of_bytes",
    ),
    Mutant(
        "a file has any number of boxes",
        f"{_MEDIA}/file_reader.py",
        "        if self._parts_left < 0:\n",
        "        if False:\n",
        f"{_HOSTILE}[a-million-boxes.mp4]",
    ),
    Mutant(
        "any codec is decoded",
        f"{_MEDIA}/limits.py",
        "    if track.codec not in codecs:\n",
        "    if False:\n",
        "tests/process/runtime/test_drawn_media.py::test_a_drawn_file_passes_the_headers_as_its_row_says[no-such-codec.mp4]",
    ),
    Mutant(
        "a length that the header says is not looked at",
        f"{_MEDIA}/limits.py",
        "    if seconds > rule.seconds_max * CLOCK_SLACK:\n",
        "    if False:\n",
        f"{_HOSTILE}[an-hour.mp4]",
    ),
    Mutant(
        "a picture of any size is decoded",
        f"{_MEDIA}/limits.py",
        "    if max(width, height) > rule.side_max or width * height > rule.pixels_max:\n",
        "    if False:\n",
        f"{_HOSTILE}[gigantic.mp4]",
    ),
    Mutant(
        "the size that is decoded is not looked at",
        _PICTURES,
        "    check_size(first.width, first.height, source.wanted, source.rule)\n",
        "",
        f"{_BAD}[says-small.mp4]",
    ),
    Mutant(
        "a video may change its size",
        _TIMES,
        "        if (frame.width, frame.height) != self._size:\n",
        "        if False:\n",
        f"{_BAD}[changes-size.mp4]",
    ),
    Mutant(
        "a video goes on beyond its time",
        _TIMES,
        "        if self._last_s - self._first_s > self._rule.seconds_max * CLOCK_SLACK:\n",
        "        if False:\n",
        f"{_FRAMES}::test_a_video_stops_at_the_first_frame_beyond_its_time",
    ),
    Mutant(
        "a video has any number of frames",
        _TIMES,
        "        if self.count > frames_limit(self._rule):\n",
        "        if False:\n",
        f"{_FRAMES}::test_a_video_stops_at_the_first_frame_too_many",
    ),
    Mutant(
        "frames come at any rate",
        _TIMES,
        "        check_rate(self.count, self.seconds, self._rule)\n",
        "",
        f"{_FRAMES}::test_at_the_end_a_video_has_frames_a_length_and_a_rate",
    ),
    Mutant(
        "a rate that changes is not said",
        _TIMES,
        "        return self._longest_s - self._shortest_s > UNEVEN * usual_s\n",
        "        return False\n",
        f"{_FRAMES}::test_an_even_rate_is_even_though_its_clock_has_milliseconds",
    ),
    Mutant(
        "a line of the file passes for the filter's",
        _NOTES,
        '        self.name = f"showinfo@{secrets.token_hex(6)}"\n',
        '        self.name = "showinfo@frames"\n',
        f"{_FRAMES}::test_no_line_passes_for_the_filters_that_has_another_name",
    ),
    Mutant(
        "half a video passes for a whole one",
        _DECODING,
        '"-xerror", ',
        "",
        f"{_BAD}[damaged.mp4]",
    ),
    Mutant(
        "half a JPEG passes for a whole one",
        _DECODING,
        '        *(["-err_detect", "explode"] if wanted is MediaFormat.IMAGE else []),  # else half a JPEG is a JPEG\n',
        "",
        f"{_BAD}[cut.jpg]",
    ),
    Mutant(
        "a decoder that dies took no fault in the file",
        _DECODING,
        "    if ended.status < 0:\n",
        "    if False:\n",
        f"{_LAYERS}::test_one_that_crashes_is_a_sentence",
    ),
    Mutant(
        "a decoder's hunger passes for damage",
        _DECODING,
        "any(sign in line for line in errors for sign in SHORTAGE)",
        "False",
        f"{_LAYERS}::test_real_ffmpeg_without_memory_is_a_sentence",
    ),
    Mutant(
        "a decoder that does not start is the file's fault",
        _DECODING,
        "    if ended.status in (REFUSED, NO_PROGRAM):\n",
        "    if False:\n",
        f"{_LAYERS}::test_a_decoder_that_does_not_start_is_no_fault_of_the_file",
    ),
    Mutant(
        "frames that nobody asked for are taken",
        _PICTURES,
        "        if received > (most + 1) * frame_bytes:\n",
        "        if False:\n",
        f"{_LAYERS}::test_one_that_never_stops_giving_frames_is_a_sentence",
    ),
    Mutant(
        "frames that nobody asked for are kept",
        _PICTURES,
        "        file.write(data[: max(0, most * frame_bytes - received)])\n",
        "        file.write(data)\n",
        f"{_LAYERS}::test_one_that_never_stops_giving_frames_is_a_sentence",
    ),
    Mutant(
        "a decoder may run for ever",
        _PROGRAM,
        "                    self._give_up(CutOff.TIME)\n",
        "                    until_s += self._bounds.wall_s * 20\n",
        f"{_LAYERS}::test_one_that_hangs_is_a_sentence",
    ),
    Mutant(
        "a process that a decoder leaves behind holds its caller up",
        _PROGRAM,
        "                        until_s = time.monotonic() + LAST_WORDS_S\n",
        "",
        f"{_LAYERS}::test_one_that_leaves_a_process_behind_holds_nobody_up[limits]",
    ),
    Mutant(
        "a decoder may talk for ever",
        _PROGRAM,
        "                    self._give_up(CutOff.TALK)\n",
        "                    pass\n",
        f"{_LAYERS}::test_one_that_never_stops_talking_is_a_sentence",
    ),
    Mutant(
        "a decoder has the memory of the machine",
        _PROGRAM,
        '        "address_space": bounds.memory_bytes,\n',
        "",
        f"{_LAYERS}::test_one_that_eats_memory_is_a_sentence",
    ),
    Mutant(
        "a decoder sees the system",
        _PROGRAM,
        '        plan["mounts"]["system"] = [path for path in LIBRARIES if os.path.lexists(path)]\n',
        "        pass\n",
        _REACHES_NOTHING,
    ),
    Mutant("a decoder may write", _PROGRAM, '        layer["write"] = []\n', "        pass\n", _REACHES_NOTHING),
    Mutant(
        "a decoder has the network",
        _PROGRAM,
        "network=Network.OWN)",
        "network=Network.HOST)",
        _REACHES_NOTHING,
    ),
    Mutant("a decoder inherits our variables", _PROGRAM, "            env=_VARIABLES,\n", "", _REACHES_NOTHING),
    Mutant(
        "a decoder has no limit of seconds",
        _PROGRAM,
        '        "cpu_s": bounds.cpu_s,\n',
        "",
        _REACHES_NOTHING,
    ),
    Mutant(
        "a decoder opens any number of files",
        "runtime/worker/layers/limits.py",
        '        resource.RLIMIT_NOFILE: plan.get("open_files", 0),\n',
        "",
        _REACHES_NOTHING,
    ),
    Mutant(
        "frames leave the model's grid",
        _PREPARATION,
        " - (decoded.frames - rule.frames_min) % rule.frames_step",
        "",
        "tests/process/runtime/test_grids.py::test_the_model_gets_the_most_frames_that_its_grid_allows",
    ),
    Mutant(
        "too few frames are enough",
        _PREPARATION,
        "    if decoded.frames < rule.frames_min:\n",
        "    if False:\n",
        "tests/process/runtime/test_grids.py::test_too_few_frames_are_refused",
    ),
    Mutant(
        "a file of any size is decoded",
        _PREPARATION,
        "        if found.st_size > rule.bytes_max:\n",
        "        if False:\n",
        "tests/process/runtime/test_grids.py::test_a_file_with_too_many_bytes_is_refused",
    ),
    Mutant(
        "HDR is shown as if it were SDR",
        _PICTURES,
        "    if look.is_bright:\n",
        "    if False:\n",
        "tests/process/runtime/test_grids.py::test_hdr_becomes_light_that_a_screen_shows",
    ),
    Mutant(
        "the picture stays as the camera lay",
        _DECODING,
        '        *([] if upright else ["-noautorotate"]),\n',
        '        "-noautorotate",\n',
        f"{_BECOMES}[rotated.mp4]",
    ),
    Mutant(
        "wide pixels stay wide",
        _SIZE,
        "    if sample_aspect >= 1:\n",
        "    if True:\n        return width, height\n    if sample_aspect >= 1:\n",
        f"{_SIZES}::test_pixels_are_made_square",
    ),
    Mutant(
        "wide pixels make more pixels than the rule takes",
        _SIZE,
        ", math.sqrt(rule.pixels_max / (width * height)))",
        ")",
        f"{_SIZES}::test_wide_pixels_make_no_more_pixels_than_the_rule_takes",
    ),
)
