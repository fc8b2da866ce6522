#include "server/base/file.h"

#include <sys/stat.h>

#include <filesystem>

#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

using ::testing::HasSubstr;

TEST(FileTest, ReplacesTextModeAndTime) {
  TempDir dir;
  const std::string path = dir.File("a/b/c.conf");
  WriteOptions options;
  options.mtime = absl::FromUnixMicros(1'700'000'000'123'456);
  ASSERT_THAT(WriteFileAtomically(path, "one", options), IsOk());
  OM_ASSERT_OK_AND_ASSIGN(const FileContent content, ReadFile(path, 100));
  EXPECT_EQ(content.text, "one");
  EXPECT_EQ(content.mtime, *options.mtime);
  struct stat info = {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  ASSERT_THAT(WriteFileAtomically(path, "two", {.mode = 0644, .mtime = std::nullopt}), IsOk());
  EXPECT_EQ(dir.Read("a/b/c.conf"), "two");
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0644U);
}

TEST(FileTest, AFailedReplacementLeavesTheOldFileAndNothingElse) {
  TempDir dir;
  // A directory in the place of the file: the rename is refused.
  ASSERT_THAT(MakeDirectories(dir.File("taken/x")), IsOk());
  EXPECT_FALSE(WriteFileAtomically(dir.File("taken"), "text", {}).ok());
  int entries = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
    EXPECT_EQ(entry.path().filename(), "taken");
    ++entries;
  }
  EXPECT_EQ(entries, 1);
}

TEST(FileTest, ReadingIsBoundedAndNamesTheFile) {
  TempDir dir;
  const std::string path = dir.Write("x", "12345");
  EXPECT_THAT(ReadFile(path, 5), IsOk());
  EXPECT_THAT(ReadFile(path, 4), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr(path)));
  EXPECT_THAT(ReadFile(dir.File("none"), 5),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
}

TEST(FileTest, APipeIsRefusedAndNotWaitedFor) {
  TempDir dir;
  const std::string path = dir.File("pipe");
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_THAT(ReadFile(path, 5),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no regular file")));
}

TEST(FileTest, RemovingWhatIsNotThereIsNoError) {
  TempDir dir;
  EXPECT_THAT(RemoveFile(dir.File("none")), IsOk());
  const std::string path = dir.Write("x", "1");
  EXPECT_THAT(RemoveFile(path), IsOk());
  EXPECT_THAT(ModificationTime(path), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace om
