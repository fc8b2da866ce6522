#include "server/logs/log_reader.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/random.h"
#include "server/base/status.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr size_t kPlenty = 1 << 20;

class LogReaderTest : public ::testing::Test {
 protected:
  std::string path() const { return directory_.File("svc1.log"); }
  std::string rotated(int n) const { return absl::StrCat(path(), ".", n); }
  LogReader::Options options() const {
    LogReader::Options options;
    options.path = path();
    return options;
  }

  void Append(const std::string& file, const std::string& text) {
    std::ofstream stream(file, std::ios::app);
    stream << text;
    stream.close();
    Stamp(file);
  }
  // Modification times are as far apart as the clock of the test says, whatever the file system's.
  void Stamp(const std::string& file) {
    const timespec times[2] = {{0, UTIME_OMIT}, {1'700'000'000 + ++stamp_, 0}};
    ASSERT_EQ(utimensat(AT_FDCWD, file.c_str(), times, 0), 0);
  }
  void Rotate() {
    for (int n = 8; n >= 1; --n) rename(rotated(n).c_str(), rotated(n + 1).c_str());
    ASSERT_EQ(rename(path().c_str(), rotated(1).c_str()), 0);
  }

  static std::vector<std::string> Lines(const std::string& text) {
    std::vector<std::string> lines = absl::StrSplit(text, '\n');
    EXPECT_EQ(lines.back(), "") << "the text does not end with a line";
    lines.pop_back();
    return lines;
  }
  // All that is new.
  std::vector<std::string> Drain(LogReader* reader, size_t max_bytes = kPlenty) {
    std::string all;
    for (;;) {
      const absl::StatusOr<LogReader::Chunk> chunk = reader->Next(max_bytes);
      EXPECT_TRUE(chunk.ok()) << chunk.status();
      if (!chunk.ok()) return {};
      gap_ = gap_ || chunk->gap;
      all += chunk->text;
      if (chunk->text.empty()) return Lines(all);
    }
  }
  std::unique_ptr<LogReader> FromStart() {
    auto reader = LogReader::FromStart(options(), &clock_, /*may_appear=*/true);
    EXPECT_TRUE(reader.ok()) << reader.status();
    return *std::move(reader);
  }
  std::unique_ptr<LogReader> Resume(const LogReader& reader) {
    const absl::StatusOr<LogCursor> cursor = LogCursor::Parse(reader.cursor().ToText());
    EXPECT_TRUE(cursor.ok()) << cursor.status();
    auto resumed = LogReader::FromCursor(options(), &clock_, *cursor);
    EXPECT_TRUE(resumed.ok()) << resumed.status();
    return *std::move(resumed);
  }

  TempDir directory_;
  FakeClock clock_;
  int stamp_ = 0;
  bool gap_ = false;
};

TEST_F(LogReaderTest, GivesWhatIsAppendedOnceEach) {
  Append(path(), "a\nb\n");
  const auto reader = FromStart();
  EXPECT_THAT(Drain(reader.get()), ElementsAre("a", "b"));
  EXPECT_THAT(Drain(reader.get()), IsEmpty());
  Append(path(), "c\n");
  EXPECT_THAT(Drain(reader.get()), ElementsAre("c"));
}

TEST_F(LogReaderTest, AnUnfinishedLineIsWaitedFor) {
  Append(path(), "a\nhal");
  const auto reader = FromStart();
  EXPECT_THAT(Drain(reader.get()), ElementsAre("a"));
  Append(path(), "f\n");
  EXPECT_THAT(Drain(reader.get()), ElementsAre("half"));
}

TEST_F(LogReaderTest, TheRestOfAnUnfinishedLineIsGivenToOneWhoDoesNotFollow) {
  Append(path(), "a\nhalf");
  const auto reader = FromStart();
  EXPECT_THAT(Drain(reader.get()), ElementsAre("a"));
  const absl::StatusOr<LogReader::Chunk> rest = reader->Rest(kPlenty);
  ASSERT_TRUE(rest.ok());
  EXPECT_EQ(rest->text, "half\n");
}

TEST_F(LogReaderTest, ALineLongerThanAChunkComesInPieces) {
  const std::string line(1000, 'x');
  Append(path(), line + "\nend\n");
  const auto reader = FromStart();
  std::string all;
  bool in_pieces = false;
  for (;;) {
    const absl::StatusOr<LogReader::Chunk> chunk = reader->Next(300);
    ASSERT_TRUE(chunk.ok());
    if (chunk->text.empty()) break;
    EXPECT_LE(chunk->text.size(), 300u);
    in_pieces = in_pieces || chunk->mid_line;
    all += chunk->text;
  }
  EXPECT_TRUE(in_pieces);
  EXPECT_EQ(all, line + "\nend\n");
}

TEST_F(LogReaderTest, BytesAreGivenAsTheyAre) {
  const std::string line("\xff\x00\xfe\r", 4);
  Append(path(), line + "\n");
  EXPECT_THAT(Drain(FromStart().get()), ElementsAre(line));
}

TEST_F(LogReaderTest, FollowsARotation) {
  Append(path(), "a\n");
  const auto reader = FromStart();
  EXPECT_THAT(Drain(reader.get()), ElementsAre("a"));
  Append(path(), "b\n");
  Rotate();
  Append(path(), "c\n");
  EXPECT_THAT(Drain(reader.get()), ElementsAre("b", "c"));
  EXPECT_FALSE(gap_);
}

TEST_F(LogReaderTest, ReadsFilesThatCameAndWentBetweenTwoLooks) {
  Append(path(), "a\n");
  const auto reader = FromStart();
  EXPECT_THAT(Drain(reader.get()), ElementsAre("a"));
  for (const char* text : {"b\n", "c\n", "d\n"}) {
    Rotate();
    Append(path(), text);
  }
  EXPECT_THAT(Drain(reader.get()), ElementsAre("b", "c", "d"));
  EXPECT_FALSE(gap_);
}

TEST_F(LogReaderTest, AWriterThatNoticesTheRotationLateIsStillRead) {
  Append(path(), "a\n");
  const auto reader = FromStart();
  EXPECT_THAT(Drain(reader.get()), ElementsAre("a"));
  clock_.Advance(seconds(60));
  Rotate();
  Append(path(), "c\n");
  EXPECT_THAT(Drain(reader.get()), ElementsAre("c"));
  Append(rotated(1), "b\n");
  EXPECT_THAT(Drain(reader.get()), ElementsAre("b"));
  clock_.Advance(seconds(11));
  EXPECT_THAT(Drain(reader.get()), IsEmpty());
  Append(rotated(1), "too late\n");
  Rotate();
  Append(path(), "d\n");
  EXPECT_THAT(Drain(reader.get()), ElementsAre("d"));
}

TEST_F(LogReaderTest, AnUnfinishedLineOfARotatedFileIsGivenWhenItIsLeft) {
  Append(path(), "a\nhalf");
  const auto reader = FromStart();
  EXPECT_THAT(Drain(reader.get()), ElementsAre("a"));
  Rotate();
  Append(path(), "b\n");
  EXPECT_THAT(Drain(reader.get()), ElementsAre("b"));
  clock_.Advance(seconds(11));
  EXPECT_THAT(Drain(reader.get()), ElementsAre("half"));
}

TEST_F(LogReaderTest, ATruncatedFileIsReadFromItsStart) {
  Append(path(), "a\nb\n");
  const auto reader = FromStart();
  EXPECT_THAT(Drain(reader.get()), ElementsAre("a", "b"));
  ASSERT_EQ(truncate(path().c_str(), 0), 0);
  Append(path(), "c\n");
  EXPECT_THAT(Drain(reader.get()), ElementsAre("c"));
}

TEST_F(LogReaderTest, AFileThatWasTruncatedAndIsLongerAgainIsNoticed) {
  Append(path(), "a\nb\n");
  const auto reader = FromStart();
  EXPECT_THAT(Drain(reader.get()), ElementsAre("a", "b"));
  ASSERT_EQ(truncate(path().c_str(), 0), 0);
  Append(path(), "c\nd\ne\n");
  EXPECT_THAT(Drain(reader.get()), ElementsAre("c", "d", "e"));
}

TEST_F(LogReaderTest, AFileMadeAnewIsReadFromItsStart) {
  Append(path(), "a\n");
  const auto reader = FromStart();
  EXPECT_THAT(Drain(reader.get()), ElementsAre("a"));
  ASSERT_EQ(unlink(path().c_str()), 0);
  EXPECT_THAT(Drain(reader.get()), IsEmpty());
  Append(path(), "b\n");
  EXPECT_THAT(Drain(reader.get()), ElementsAre("b"));
}

TEST_F(LogReaderTest, AFileThatIsNotThereYetIsWaitedFor) {
  const auto reader = FromStart();
  EXPECT_THAT(Drain(reader.get()), IsEmpty());
  Append(path(), "a\n");
  EXPECT_THAT(Drain(reader.get()), ElementsAre("a"));
}

TEST_F(LogReaderTest, AMissingFileIsNamed) {
  const auto reader = LogReader::FromEnd(options(), &clock_, /*may_appear=*/false);
  EXPECT_TRUE(absl::IsNotFound(reader.status()));
  EXPECT_EQ(ReasonOf(reader.status()), "LOG_NOT_FOUND");
  EXPECT_THAT(std::string(reader.status().message()), ::testing::HasSubstr(path()));
}

TEST_F(LogReaderTest, APipeIsRefused) {
  ASSERT_EQ(mkfifo(path().c_str(), 0600), 0);
  EXPECT_TRUE(absl::IsFailedPrecondition(
      LogReader::FromStart(options(), &clock_, /*may_appear=*/true).status()));
}

TEST_F(LogReaderTest, OlderRotatedFilesAreNoNews) {
  Append(rotated(1), "old\n");
  Append(path(), "a\n");
  const auto reader = FromStart();
  EXPECT_THAT(Drain(reader.get()), ElementsAre("a"));
  Rotate();
  Append(path(), "b\n");
  EXPECT_THAT(Drain(reader.get()), ElementsAre("b"));
}

TEST_F(LogReaderTest, GivesTheLastLines) {
  Append(path(), "a\nb\nc\n");
  for (const auto& [count, expected] : std::map<uint64_t, std::vector<std::string>>{
           {0, {}}, {1, {"c"}}, {2, {"b", "c"}}, {3, {"a", "b", "c"}}, {9, {"a", "b", "c"}}}) {
    auto reader = LogReader::FromLastLines(options(), &clock_, count, false);
    ASSERT_TRUE(reader.ok());
    EXPECT_EQ(Drain(reader->get()), expected) << count;
  }
}

TEST_F(LogReaderTest, GivesTheLastLinesOfALongFile) {
  std::string text;
  for (int i = 0; i < 50'000; ++i) absl::StrAppend(&text, "line ", i, "\n");
  Append(path(), text);
  auto reader = LogReader::FromLastLines(options(), &clock_, 40'000, false);
  ASSERT_TRUE(reader.ok());
  const std::vector<std::string> lines = Drain(reader->get(), 1000);
  ASSERT_EQ(lines.size(), 40'000u);
  EXPECT_EQ(lines.front(), "line 10000");
  EXPECT_EQ(lines.back(), "line 49999");
}

TEST_F(LogReaderTest, TheLastBytesBeginWithAWholeLine) {
  Append(path(), "aaa\nbbb\nccc\n");
  for (const auto& [bytes, expected] :
       std::map<uint64_t, std::vector<std::string>>{{0, {}},
                                                    {3, {}},
                                                    {4, {"ccc"}},
                                                    {5, {"ccc"}},
                                                    {8, {"bbb", "ccc"}},
                                                    {12, {"aaa", "bbb", "ccc"}},
                                                    {99, {"aaa", "bbb", "ccc"}}}) {
    auto reader = LogReader::FromLastBytes(options(), &clock_, bytes, false);
    ASSERT_TRUE(reader.ok());
    EXPECT_EQ(Drain(reader->get()), expected) << bytes;
  }
}

TEST_F(LogReaderTest, ACursorGoesOnAfterARotation) {
  Append(path(), "a\nb\n");
  const auto reader = FromStart();
  EXPECT_THAT(Drain(reader.get()), ElementsAre("a", "b"));
  Append(path(), "c\n");
  Rotate();
  Append(path(), "d\n");
  Rotate();
  Append(path(), "e\n");
  const auto resumed = Resume(*reader);
  EXPECT_THAT(Drain(resumed.get()), ElementsAre("c", "d", "e"));
  EXPECT_FALSE(gap_);
}

TEST_F(LogReaderTest, ACursorOfAFileThatIsGoneTellsOfTheGap) {
  Append(path(), "a\n");
  const auto reader = FromStart();
  EXPECT_THAT(Drain(reader.get()), ElementsAre("a"));
  // Another file takes the name before the old one goes, so that the inode is another one.
  Append(directory_.File("other"), "b\n");
  ASSERT_EQ(rename(directory_.File("other").c_str(), path().c_str()), 0);
  const auto resumed = Resume(*reader);
  EXPECT_THAT(Drain(resumed.get()), ElementsAre("b"));
  EXPECT_TRUE(gap_);
}

TEST_F(LogReaderTest, ACursorOfAFileWrittenAnewTellsOfTheGap) {
  Append(path(), "a\n");
  const auto reader = FromStart();
  EXPECT_THAT(Drain(reader.get()), ElementsAre("a"));
  ASSERT_EQ(truncate(path().c_str(), 0), 0);
  Append(path(), "b\nc\n");
  const auto resumed = Resume(*reader);
  EXPECT_THAT(Drain(resumed.get()), ElementsAre("b", "c"));
  EXPECT_TRUE(gap_);
}

TEST_F(LogReaderTest, ForeignCursorsAreRefused) {
  for (const char* text : {"x", "", "MTsxLDIsMw==", "MTstMSwxLDEsMSwxLDE="}) {
    const absl::StatusOr<LogCursor> cursor = LogCursor::Parse(text);
    EXPECT_EQ(ReasonOf(cursor.status()), "BAD_CURSOR") << text;
  }
  EXPECT_EQ(ReasonOf(LogCursor::Parse(std::string(5000, 'A')).status()), "BAD_CURSOR");
}

// Two writers, one of which notices rotations late, and a reader that is replaced now and then.
TEST_F(LogReaderTest, LosesAndRepeatsNothingThroughRandomTroubles) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    TempDir directory;
    LogReader::Options options;
    options.path = directory.File("svc1.log");
    Random random(seed);
    std::map<std::string, int> seen;
    std::string late = options.path;  // Where the second writer writes.
    int count = 0;
    int rotations_since = 0;
    Append(options.path, "");
    auto reader = LogReader::FromStart(options, &clock_, true);
    ASSERT_TRUE(reader.ok());
    const auto take = [&] {
      for (const std::string& line : Drain(reader->get(), 1 + random.Below(40))) ++seen[line];
    };
    for (int step = 0; step < 200; ++step) {
      switch (random.Below(6)) {
        case 0:
        case 1:
          Append(options.path, absl::StrCat("w1-", count++, "\n"));
          break;
        case 2:
          Append(late, absl::StrCat("w2-", count++, "\n"));
          break;
        case 3:
          if (rotations_since == 0) {
            take();
            rename(options.path.c_str(), absl::StrCat(options.path, ".", step).c_str());
            late = absl::StrCat(options.path, ".", step);
            Append(options.path, absl::StrCat("w1-", count++, "\n"));
            rotations_since = 1;
          } else {
            late = options.path;
            rotations_since = 0;
            clock_.Advance(seconds(11));
            take();
          }
          break;
        case 4:
          take();
          break;
        default: {
          const LogCursor cursor = (*reader)->cursor();
          reader = LogReader::FromCursor(options, &clock_, cursor);
          ASSERT_TRUE(reader.ok());
          break;
        }
      }
    }
    take();
    EXPECT_EQ(seen.size(), static_cast<size_t>(count));
    for (int i = 0; i < count; ++i) {
      EXPECT_EQ(seen.count(absl::StrCat("w1-", i)) + seen.count(absl::StrCat("w2-", i)), 1u) << i;
    }
    for (const auto& [line, times] : seen) EXPECT_EQ(times, 1) << line;
    EXPECT_FALSE(gap_);
    if (HasFailure()) break;
  }
}

}  // namespace
}  // namespace om
