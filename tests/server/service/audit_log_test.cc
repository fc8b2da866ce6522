// The audit log: what its lines say, that none is lost or torn, and what happens without a disk.
#include "server/service/audit_log.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>
#include <sstream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/base/json.h"
#include "server/service/errors.h"
#include "tests/server/service/service_fixture.h"

namespace om {
namespace {

using absl::StatusCode;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class AuditLogTest : public ::testing::Test {
 protected:
  AuditLogTest() {
    options_.path = absl::StrCat(dir_.path(), "/audit.log");
    options_.node = "node1";
    options_.retry_interval = std::chrono::milliseconds(10);
  }

  void Start() {
    log_.emplace(options_, &mask_, &clock_, &counters_);
    log_->Start();
  }
  // Waits until the line has been tried.
  void Write(const AuditEntry& entry, const absl::Status& answer = absl::OkStatus()) {
    absl::StatusOr<AuditLog::Place> place = log_->Reserve();
    ASSERT_THAT(place.status(), IsOk());
    std::promise<void> written;
    log_->Write(entry, answer, *std::move(place), [&written] { written.set_value(); });
    written.get_future().wait();
  }
  static std::string Read(const std::string& path) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  std::vector<std::string> Lines(const std::string& suffix = "") const {
    return absl::StrSplit(Read(options_.path + suffix), '\n', absl::SkipEmpty());
  }
  Json Last() const { return *ParseJson(Lines().back()); }
  int64_t Count(const char* name) { return counters_.Get(name)->value(); }

  static AuditEntry Entry(const std::string& target = "svc1") {
    AuditEntry entry;
    entry.caller = {Caller::Kind::kUser, "alice", "ipv4:10.0.0.5:1", Transport::kGrpcTcp};
    entry.caller.credential = "token 7";
    entry.operation = "om.control.v1.MonitorService/SetInstanceMonitor";
    entry.target = target;
    return entry;
  }

  TempDir dir_;
  SecretMask mask_;
  FakeClock clock_;
  Counters counters_;
  AuditLog::Options options_;
  std::optional<AuditLog> log_;
};

TEST_F(AuditLogTest, ALineSaysWhoFromWhereOverWhatWhatOnWhatAndItsResult) {
  Start();
  AuditEntry entry = Entry();
  entry.caller.forwarder = "node2";
  entry.words = {"global_expect=started"};
  entry.request_id = "r1";
  Write(entry);
  const Json line = Last();
  EXPECT_EQ(line["node"], "node1");
  EXPECT_EQ(line["caller"], "user");
  EXPECT_EQ(line["name"], "alice");
  EXPECT_EQ(line["credential"], "token 7");
  EXPECT_EQ(line["address"], "ipv4:10.0.0.5:1");
  EXPECT_EQ(line["transport"], "grpc-tcp");
  EXPECT_EQ(line["forwarder"], "node2");
  EXPECT_EQ(line["operation"], entry.operation);
  EXPECT_EQ(line["target"], "svc1");
  EXPECT_EQ(line["words"], "global_expect=started");
  EXPECT_EQ(line["request_id"], "r1");
  EXPECT_EQ(line["result"], "ok");
  EXPECT_FALSE(line.contains("code"));
  const std::string time = line["time"];
  EXPECT_EQ(time.size(), std::string("2026-01-01T00:00:00.000000Z").size());
  EXPECT_EQ(time.back(), 'Z');

  Write(entry, MakeError("ROLE_MISSING", "no"));
  EXPECT_EQ(Last()["result"], "ROLE_MISSING");
  EXPECT_EQ(Last()["code"], "PERMISSION_DENIED");
  struct stat info = {};
  ASSERT_EQ(stat(options_.path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(AuditLogTest, TheNodeNameOfAPacketIsCalledAClaim) {
  Start();
  AuditEntry entry = Entry();
  entry.caller = {Caller::Kind::kNode, "node2", "10.0.0.2", Transport::kPacket};
  Write(entry);
  EXPECT_EQ(Last()["claimed_node"], "node2");
  EXPECT_FALSE(Last().contains("name"));
}

TEST_F(AuditLogTest, HostileTextsStayInOneBoundedLineAndSecretsAreMasked) {
  mask_.Add("sesame-open");
  Start();
  AuditEntry entry = Entry("a\n{\"result\":\"ok\"}\x01 sesame-open");
  Write(entry);
  ASSERT_EQ(Lines().size(), 1u);
  EXPECT_THAT(Lines()[0], ::testing::Not(HasSubstr("sesame")));
  EXPECT_EQ(Last()["target"], "a\n{\"result\":\"ok\"}\x01 ***");
  for (const std::string& text : {std::string(100'000, 'x'), std::string(100'000, '\x01'),
                                  std::string(100'000, '\xff'), std::string(100'000, '"')}) {
    entry.caller.name = entry.caller.credential = entry.caller.address = text;
    entry.caller.forwarder = entry.operation = entry.target = entry.request_id = text;
    entry.words = {text, text};
    Write(entry);
    EXPECT_LE(Lines().back().size() + 1, AuditLog::kMaxLineBytes);
    EXPECT_TRUE(absl::EndsWith(std::string(Last()["target"]), "..."));
  }
}

TEST_F(AuditLogTest, FilesAreRotatedBySizeAndOnlySoManyAreKept) {
  options_.settings.max_bytes = 4096;
  options_.settings.keep = 2;
  Start();
  for (int i = 0; i < 100; ++i) Write(Entry(absl::StrCat("svc", i)));
  EXPECT_EQ(Last()["target"], "svc99");
  int next = -1;
  for (const char* suffix : {".2", ".1", ""}) {
    EXPECT_LE(Read(options_.path + suffix).size(), 4096u);
    for (const std::string& line : Lines(suffix)) {
      const std::string target = (*ParseJson(line))["target"];
      if (next >= 0) EXPECT_EQ(target, absl::StrCat("svc", next));
      next = std::stoi(target.substr(3)) + 1;
    }
  }
  EXPECT_FALSE(std::filesystem::exists(options_.path + ".3"));
}

TEST_F(AuditLogTest, NoLineOfManyThreadsIsLostAcrossRotations) {
  options_.settings.max_bytes = 20'000;
  options_.settings.keep = 1000;
  Start();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 250; ++i) Write(Entry(absl::StrCat("t", t, "-", i)));
    });
  }
  for (std::thread& thread : threads) thread.join();
  size_t count = Lines().size();
  for (int i = 1; std::filesystem::exists(absl::StrCat(options_.path, ".", i)); ++i) {
    for (const std::string& line : Lines(absl::StrCat(".", i))) {
      EXPECT_THAT(ParseJson(line), IsOk());
      ++count;
    }
  }
  EXPECT_EQ(count, 1000u);
  EXPECT_EQ(Count("audit.lost"), 0);
}

TEST_F(AuditLogTest, AFileThatWasMovedRemovedOrEmptiedIsMadeAnew) {
  Start();
  Write(Entry("one"));
  ASSERT_EQ(rename(options_.path.c_str(), (options_.path + ".old").c_str()), 0);
  Write(Entry("two"));
  EXPECT_EQ(Lines().size(), 1u);
  EXPECT_EQ(Lines(".old").size(), 1u);
  ASSERT_EQ(unlink(options_.path.c_str()), 0);
  Write(Entry("three"));
  EXPECT_EQ(Last()["target"], "three");
  ASSERT_EQ(truncate(options_.path.c_str(), 0), 0);
  Write(Entry("four"));
  EXPECT_EQ(Lines().size(), 1u);
}

TEST_F(AuditLogTest, ATornLineOfACrashIsEndedBeforeTheNext) {
  std::ofstream(options_.path) << "{\"target\":\"whole\"}\n{\"target\":\"to";
  Start();
  Write(Entry("next"));
  ASSERT_EQ(Lines().size(), 3u);
  EXPECT_EQ(Lines()[1], "{\"target\":\"to");
  EXPECT_EQ(Last()["target"], "next");
}

TEST_F(AuditLogTest, WithoutADiskChangesGoOnAndTheirLinesComeLater) {
  options_.path = absl::StrCat(dir_.path(), "/gone/audit.log");
  std::atomic<int> changes{0};
  options_.changed = [&changes] { ++changes; };
  Start();
  EXPECT_THAT(log_->problem(), HasSubstr("gone/audit.log"));
  Write(Entry("late"));
  EXPECT_GE(Count("audit.write_errors"), 1);
  std::filesystem::create_directory(absl::StrCat(dir_.path(), "/gone"));
  log_->Flush();
  EXPECT_THAT(log_->problem(), IsEmpty());
  EXPECT_EQ(Last()["target"], "late");
  EXPECT_GE(changes.load(), 1);
  log_.reset();
}

TEST_F(AuditLogTest, WhatIsLostIsCountedAndToldByTheLog) {
  options_.path = absl::StrCat(dir_.path(), "/gone/audit.log");
  options_.max_backlog_bytes = 1000;
  Start();
  for (int i = 0; i < 20; ++i) Write(Entry());
  const int64_t lost = Count("audit.lost");
  EXPECT_GE(lost, 1);
  std::filesystem::create_directory(absl::StrCat(dir_.path(), "/gone"));
  log_->Flush();
  EXPECT_EQ((*ParseJson(Lines()[0]))["lost"], lost);
  EXPECT_EQ(static_cast<int64_t>(Lines().size()) - 1, 20 - lost);
}

TEST_F(AuditLogTest, WithRefuseNothingBeginsWithoutADiskAndItRecoversByItself) {
  options_.path = absl::StrCat(dir_.path(), "/gone/audit.log");
  options_.settings.on_failure = AuditLog::OnFailure::kRefuse;
  Start();
  const absl::Status refused = log_->Reserve().status();
  EXPECT_THAT(refused, StatusIs(StatusCode::kUnavailable));
  EXPECT_EQ(ReasonOf(refused), "AUDIT_UNAVAILABLE");
  EXPECT_TRUE(RetryAfterOf(refused).has_value());
  EXPECT_EQ(Count("audit.refused"), 1);
  std::filesystem::create_directory(absl::StrCat(dir_.path(), "/gone"));
  log_->Flush();
  Write(Entry("again"));
  EXPECT_EQ(Last()["target"], "again");
}

TEST_F(AuditLogTest, SomethingThatIsNoFileIsNotWrittenTo) {
  ASSERT_EQ(symlink("/dev/full", options_.path.c_str()), 0);
  options_.settings.on_failure = AuditLog::OnFailure::kRefuse;
  Start();
  EXPECT_THAT(log_->problem(), HasSubstr("no regular file"));
  EXPECT_THAT(log_->Reserve().status(), StatusIs(StatusCode::kUnavailable));
}

TEST_F(AuditLogTest, WithRefuseEveryChangeThatBeganHasRoomForItsLineInAFileAtItsLimit) {
  signal(SIGXFSZ, SIG_IGN);
  options_.settings.on_failure = AuditLog::OnFailure::kRefuse;
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit limit = before;
  limit.rlim_cur = 10 * AuditLog::kMaxLineBytes;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  Start();
  std::vector<AuditLog::Place> places;
  while (true) {
    absl::StatusOr<AuditLog::Place> place = log_->Reserve();
    if (!place.ok()) break;
    places.push_back(*std::move(place));
  }
  EXPECT_GE(places.size(), 9u);
  EXPECT_LE(places.size(), 10u);
  const size_t count = places.size();
  AuditEntry entry = Entry(std::string(5000, 't'));
  entry.words = {std::string(5000, 'w')};
  for (AuditLog::Place& place : places) log_->Write(entry, absl::OkStatus(), std::move(place), {});
  log_->Flush();
  EXPECT_EQ(Lines().size(), count);
  EXPECT_EQ(Count("audit.write_errors"), 0);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
}

// In a mount namespace of this process's own: the mount ends with it.
bool MountTmpfs(const std::string& path, const std::string& options) {
  return unshare(CLONE_NEWNS) == 0 &&
         mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount("tmpfs", path.c_str(), "tmpfs", 0, options.c_str()) == 0;
}

TEST_F(AuditLogTest, WithRefuseASmallDiskIsUsedToItsEndAndNoLineOfAChangeIsLost) {
  if (!MountTmpfs(dir_.path(), "size=512k")) GTEST_SKIP() << "nothing may be mounted here";
  options_.settings.on_failure = AuditLog::OnFailure::kRefuse;
  Start();
  EXPECT_EQ(log_->problem(), "");
  size_t made = 0;
  AuditEntry entry = Entry(std::string(600, 't'));
  while (true) {
    absl::StatusOr<AuditLog::Place> place = log_->Reserve();
    if (!place.ok()) break;
    ASSERT_LT(++made, 2'000u) << "the disk is never full";
    log_->Write(entry, absl::OkStatus(), *std::move(place), {});
    log_->Flush();
  }
  EXPECT_GE(made, 300u);
  EXPECT_EQ(Lines().size(), made);
  EXPECT_EQ(Count("audit.write_errors"), 0);
  EXPECT_EQ(Count("audit.lost"), 0);
  ASSERT_EQ(mount("tmpfs", dir_.path().c_str(), "tmpfs", MS_REMOUNT, "size=1m"), 0);
  log_->Flush();
  Write(Entry("more room"));
  EXPECT_EQ(Last()["target"], "more room");
  log_.reset();
  EXPECT_EQ(umount(dir_.path().c_str()), 0);
}

TEST_F(AuditLogTest, WhereNoNewFileCanBeBegunTheOldOneGrowsAndThatIsCounted) {
  options_.settings.max_bytes = AuditLog::kMaxLineBytes;
  ASSERT_TRUE(std::filesystem::create_directory(options_.path + ".next"));
  Start();
  for (int i = 0; i < 20; ++i) Write(Entry(absl::StrCat(std::string(600, 't'), i)));
  EXPECT_EQ(Lines().size(), 20u);
  EXPECT_GT(Count("audit.rotation_errors"), 0);
  EXPECT_EQ(log_->problem(), "");
  ASSERT_TRUE(std::filesystem::remove(options_.path + ".next"));
  Write(Entry("fresh"));
  EXPECT_EQ(Lines().size(), 1u);
  EXPECT_EQ(Lines(".1").size(), 20u);
}

TEST_F(AuditLogTest, AWriteThatFailsPartWayLeavesNoPartOfALine) {
  signal(SIGXFSZ, SIG_IGN);
  // In the midst of a further try there is a part of a line.
  options_.retry_interval = std::chrono::hours(1);
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  Start();
  Write(Entry("one"));
  rlimit limit = before;
  limit.rlim_cur = Read(options_.path).size() + 20;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  Write(Entry("two"));
  EXPECT_THAT(log_->problem(), HasSubstr("writing"));
  EXPECT_EQ(Lines().size(), 1u);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  log_->Flush();
  ASSERT_EQ(Lines().size(), 2u);
  EXPECT_EQ(Last()["target"], "two");
}

TEST_F(AuditLogTest, PlacesAreGivenBackAndBounded) {
  options_.settings.on_failure = AuditLog::OnFailure::kRefuse;
  options_.max_places = 2;
  Start();
  {
    const absl::StatusOr<AuditLog::Place> one = log_->Reserve();
    const absl::StatusOr<AuditLog::Place> two = log_->Reserve();
    EXPECT_THAT(two.status(), IsOk());
    EXPECT_THAT(log_->Reserve().status(), StatusIs(StatusCode::kUnavailable));
  }
  EXPECT_THAT(log_->Reserve().status(), IsOk());
}

TEST_F(AuditLogTest, RefusalsOfOneStrangerAreAFewLinesAndACount) {
  Start();
  AuditEntry entry = Entry();
  entry.caller = {Caller::Kind::kGuest, "", "", Transport::kGrpcTcp};
  const absl::Status refused = MakeError("ROLE_MISSING", "no");
  for (int i = 0; i < 100; ++i) {
    entry.caller.address = absl::StrCat("ipv4:10.0.0.5:", 1000 + i);
    log_->WriteRefusal(entry, refused, nullptr);
  }
  log_->Flush();
  EXPECT_EQ(Lines().size(), 10u);
  EXPECT_EQ(Count("audit.suppressed"), 90);
  // Another address has lines of its own, and so has a user, wherever he calls from.
  entry.caller.address = "ipv4:10.0.0.6:1";
  log_->WriteRefusal(entry, refused, nullptr);
  for (int i = 0; i < 20; ++i) {
    AuditEntry users = Entry();
    users.caller.address = absl::StrCat("ipv4:10.0.1.", i, ":1");
    log_->WriteRefusal(users, refused, nullptr);
  }
  clock_.Advance(std::chrono::minutes(1));
  entry.caller.address = "ipv4:10.0.0.5:1";
  log_->WriteRefusal(entry, refused, nullptr);
  log_->Flush();
  EXPECT_EQ(Lines().size(), 22u);
  EXPECT_EQ(Last()["suppressed"], 90);
}

TEST_F(AuditLogTest, StrangersOfAnyNumberTakeBoundedRoom) {
  Start();
  AuditEntry entry = Entry();
  entry.caller = {Caller::Kind::kGuest, "", "", Transport::kGrpcTcp};
  for (int i = 0; i < 3000; ++i) {
    entry.caller.address = absl::StrCat("ipv4:10.0.", i / 250, ".", i % 250, ":1");
    log_->WriteRefusal(entry, MakeError("ROLE_MISSING", "no"), nullptr);
  }
  log_->Flush();
  // 1 023 with a place of their own, and what the others have together.
  EXPECT_LE(Lines().size(), 1100u);
  EXPECT_GE(Count("audit.suppressed"), 1900);
}

TEST(BeginChangeTest, ALineIsInTheFileBeforeTheAnswerAndRefusalsHaveOneToo) {
  ServiceFixture fixture;
  fixture.Start();
  SecretMask mask;
  AuditLog::Options options;
  options.path = absl::StrCat(fixture.dir.path(), "/audit.log");
  AuditLog log(options, &mask, &fixture.clock, &fixture.counters);
  log.Start();
  fixture.context.audit = &log;
  for (const bool allowed : {true, false}) {
    std::promise<absl::Status> answered;
    std::string seen;
    Reply<int> reply = [&](const absl::StatusOr<int>& answer) {
      std::ifstream file(options.path);
      std::stringstream text;
      text << file.rdbuf();
      seen = text.str();
      answered.set_value(answer.status());
    };
    const bool begun =
        BeginChange(fixture.context, allowed ? ServiceFixture::Root() : ServiceFixture::Guest(),
                    "om.control.v1.DaemonService/StopThread", {"monitor", "r7", {}}, &reply);
    EXPECT_EQ(begun, allowed);
    if (begun) reply(7);
    EXPECT_EQ(answered.get_future().get().ok(), allowed);
    EXPECT_THAT(seen, HasSubstr(allowed ? "\"result\":\"ok\"" : "ROLE_MISSING"));
    EXPECT_THAT(seen, HasSubstr("\"request_id\":\"r7\""));
  }
  log.Stop();
  fixture.context.audit = nullptr;
}

}  // namespace
}  // namespace om
