#include "server/config/store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/base/file.h"
#include "server/base/status.h"
#include "server/config/file_lock.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

class ConfigStoreTest : public ::testing::Test {
 protected:
  absl::StatusOr<EditResult> Set(std::string param, std::string value,
                                 absl::string_view revision = "") {
    return store_.Edit(ConfigTarget::Node(), {ConfigEdit::Set(std::move(param), std::move(value))},
                       revision);
  }
  // The same, with as much patience as it takes where many edit: the lock is not given in turn.
  absl::Status SetAtLast(const std::string& param, const std::string& value) {
    absl::Status status;
    do {
      status = Set(param, value).status();
    } while (ReasonOf(status) == "CONFIG_LOCKED");
    return status;
  }
  mode_t ModeOf(const std::string& path) {
    struct stat info = {};
    EXPECT_EQ(stat(path.c_str(), &info), 0);
    return info.st_mode & 07777;
  }

  const TempDir dir_;
  const Roots roots_ = Roots::Under(dir_.path());
  const ConfigStore store_{roots_, "n1"};
};

TEST_F(ConfigStoreTest, RevisionsAndChecksumsArePublishedDigests) {
  EXPECT_EQ(RevisionOf("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(LegacyChecksumOf("abc"), "900150983cd24fb0d6963f7d28e17f72");
}

TEST_F(ConfigStoreTest, ParamsSplitAtTheFirstDot) {
  EXPECT_THAT(SplitParam("listener.Port", false), IsOkAndHolds(Pair("listener", "port")));
  EXPECT_THAT(SplitParam("hb#1.addr@N1.example.com", false),
              IsOkAndHolds(Pair("hb#1", "addr@n1.example.com")));
  EXPECT_THAT(SplitParam("env.a.b", true), IsOkAndHolds(Pair("env", "a.b")));
  EXPECT_THAT(SplitParam("stonith#n1.example.com.cmd@n2.x", false),
              IsOkAndHolds(Pair("stonith#n1.example.com", "cmd@n2.x")));
  EXPECT_THAT(SplitParam("orchestrate@n1", true), IsOkAndHolds(Pair("DEFAULT", "orchestrate@n1")));
  for (const char* param : {"", "port", ".port", "listener.", "listener.@n1", "listener.port@"}) {
    const absl::Status status = SplitParam(param, false).status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument)) << param;
  }
  EXPECT_THAT(SplitParam("", true), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ConfigStoreTest, ReadsTextTimeAndRevision) {
  EXPECT_THAT(store_.Read(ConfigTarget::Node()), StatusIs(absl::StatusCode::kNotFound));
  dir_.Write("etc/node.conf", "[a]\n");
  OM_ASSERT_OK_AND_ASSIGN(const StoredConfig config, store_.Read(ConfigTarget::Node()));
  EXPECT_EQ(config.text, "[a]\n");
  EXPECT_EQ(config.file, roots_.NodeConf());
  EXPECT_EQ(config.revision, RevisionOf("[a]\n"));
  EXPECT_GT(config.mtime, absl::UnixEpoch());
}

TEST_F(ConfigStoreTest, TargetsAreTheirFiles) {
  EXPECT_EQ(ConfigTarget::Cluster().File(roots_), roots_.ClusterConf());
  EXPECT_EQ(ConfigTarget::Object(*ObjectPath::Parse("cluster")).File(roots_), roots_.ClusterConf());
  EXPECT_EQ(ConfigTarget::Object(*ObjectPath::Parse("test/svc/web")).File(roots_),
            roots_.etc + "/namespaces/test/svc/web.conf");
}

TEST_F(ConfigStoreTest, AnEditKeepsCommentsAndMakesTheFilePrivate) {
  dir_.Write("etc/node.conf", "# mine\n[listener]\nport = 1214 \n\n[node]\nenv = TST\n");
  ASSERT_EQ(chmod(roots_.NodeConf().c_str(), 0644), 0);
  OM_ASSERT_OK_AND_ASSIGN(
      const EditResult result,
      store_.Edit(ConfigTarget::Node(),
                  {ConfigEdit::Set("listener.port", "1215"), ConfigEdit::Unset("node.env"),
                   ConfigEdit::Set("hb#1.addr@n1", "10.0.0.1")}));
  EXPECT_TRUE(result.changed);
  EXPECT_EQ(dir_.Read("etc/node.conf"),
            "# mine\n[listener]\nport = 1215\n\n[node]\n\n[hb#1]\naddr@n1 = 10.0.0.1\n");
  EXPECT_EQ(result.config.text, dir_.Read("etc/node.conf"));
  EXPECT_EQ(result.config.revision, RevisionOf(result.config.text));
  EXPECT_EQ(ModeOf(roots_.NodeConf()), 0600u);
  EXPECT_THAT(result.warnings, IsEmpty());
}

TEST_F(ConfigStoreTest, AMissingNodeFileIsMadeAndAMissingObjectIsNot) {
  ASSERT_THAT(Set("listener.port", "1215"), IsOk());
  EXPECT_EQ(dir_.Read("etc/node.conf"), "[listener]\nport = 1215\n");
  EXPECT_EQ(ModeOf(roots_.NodeConf()), 0600u);
  EXPECT_THAT(store_.Edit(ConfigTarget::Object(*ObjectPath::Parse("web")),
                          {ConfigEdit::Set("orchestrate", "ha")}),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ConfigStoreTest, ObjectsAreEditedByTheirOwnKeywords) {
  dir_.Write("etc/web.conf", "[DEFAULT]\nid = x\n\n[app#1]\n");
  const ConfigTarget web = ConfigTarget::Object(*ObjectPath::Parse("web"));
  ASSERT_THAT(store_.Edit(web, {ConfigEdit::Set("orchestrate", "ha"),
                                ConfigEdit::Set("app#1.start@n1", "/bin/x")}),
              IsOk());
  EXPECT_EQ(dir_.Read("etc/web.conf"),
            "[DEFAULT]\nid = x\norchestrate = ha\n\n[app#1]\nstart@n1 = /bin/x\n");
  const absl::Status status = store_.Edit(web, {ConfigEdit::Set("orchestrate", "maybe")}).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("one of ha, start")));
  EXPECT_EQ(FieldOf(status), "DEFAULT.orchestrate");
  EXPECT_THAT(store_.Edit(web, {ConfigEdit::Set("parents", "../x")}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("DEFAULT.parents")));
}

TEST_F(ConfigStoreTest, NothingIsWrittenWhenOneChangeIsWrong) {
  const std::string text = "[listener]\nport = 1214\n";
  dir_.Write("etc/node.conf", text);
  const auto refused = [&](const std::string& param, const std::string& value) {
    const absl::Status status = store_
                                    .Edit(ConfigTarget::Node(), {ConfigEdit::Set("node.env", "PRD"),
                                                                 ConfigEdit::Set(param, value)})
                                    .status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_EQ(FieldOf(status), param);
    EXPECT_EQ(dir_.Read("etc/node.conf"), text);
  };
  refused("listener.port", "http");
  refused("listener.port", "65536");
  refused("listener.port@n1", "1");
  refused("listener", "1");
  refused("listener.addr", "a\n# b");
  refused("listener.a=b", "c");
  refused("cluster.secret", "short");
  refused("crm.command", "");
}

TEST_F(ConfigStoreTest, FaultsTheFileAlreadyHadDoNotStandInTheWay) {
  dir_.Write("etc/node.conf", "[listener]\nport = http\ntls_port = x\n");
  ASSERT_THAT(Set("listener.port", "1215"), IsOk());
  EXPECT_EQ(dir_.Read("etc/node.conf"), "[listener]\nport = 1215\ntls_port = x\n");
  EXPECT_THAT(Set("listener.tls_port", "y"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ConfigStoreTest, AMalformedFileIsNotTouched) {
  dir_.Write("etc/node.conf", "[listener\nport = 1\n");
  EXPECT_THAT(Set("listener.port", "1215"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("node.conf:1: ")));
  EXPECT_EQ(dir_.Read("etc/node.conf"), "[listener\nport = 1\n");
}

TEST_F(ConfigStoreTest, UnknownKeywordsAreWrittenWithAWarning) {
  OM_ASSERT_OK_AND_ASSIGN(const EditResult result, Set("node.loc_city", "Paris"));
  EXPECT_THAT(result.warnings, ElementsAre(HasSubstr("node.loc_city: unknown keyword")));
  EXPECT_EQ(dir_.Read("etc/node.conf"), "[node]\nloc_city = Paris\n");
}

TEST_F(ConfigStoreTest, AChangeOfNothingWritesNothing) {
  dir_.Write("etc/node.conf", "[listener]\nport = 1214\n");
  OM_ASSERT_OK_AND_ASSIGN(const StoredConfig before, store_.Read(ConfigTarget::Node()));
  OM_ASSERT_OK_AND_ASSIGN(
      const EditResult result,
      store_.Edit(ConfigTarget::Node(),
                  {ConfigEdit::Set("listener.port", "1214"), ConfigEdit::Unset("node.none")}));
  EXPECT_FALSE(result.changed);
  EXPECT_EQ(store_.Read(ConfigTarget::Node())->mtime, before.mtime);
}

TEST_F(ConfigStoreTest, AStaleRevisionIsRefused) {
  OM_ASSERT_OK_AND_ASSIGN(const EditResult first, Set("listener.port", "1215"));
  OM_ASSERT_OK_AND_ASSIGN(const EditResult second,
                          Set("listener.port", "1216", first.config.revision));
  const absl::Status status = Set("listener.port", "1217", first.config.revision).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kAborted,
                               AllOf(HasSubstr("has changed"), HasSubstr(second.config.revision))));
  EXPECT_EQ(ReasonOf(status), "REVISION_MISMATCH");
  EXPECT_EQ(dir_.Read("etc/node.conf"), "[listener]\nport = 1216\n");
}

TEST_F(ConfigStoreTest, SizeAndNumberOfChangesAreBounded) {
  EXPECT_THAT(Set("env.big", std::string(ConfigStore::kMaxFileBytes, 'x')),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(store_.Edit(ConfigTarget::Node(), std::vector<ConfigEdit>(ConfigStore::kMaxEdits + 1,
                                                                        ConfigEdit::Unset("a.b"))),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1000")));
  EXPECT_THAT(store_.Read(ConfigTarget::Node()), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ConfigStoreTest, ConcurrentEditsOfThreadsAllCount) {
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([this, thread]() {
      for (int i = 0; i < 10; ++i) {
        EXPECT_THAT(SetAtLast(absl::StrCat("env.k", thread, "_", i), "v"), IsOk());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  OM_ASSERT_OK_AND_ASSIGN(const StoredConfig config, store_.Read(ConfigTarget::Node()));
  OM_ASSERT_OK_AND_ASSIGN(const Document document, Document::Parse(config.text, "f"));
  EXPECT_EQ(document.Entries("env").size(), 40u);
}

TEST_F(ConfigStoreTest, ConcurrentEditsOfProcessesAllCount) {
  std::vector<pid_t> children;
  for (int child = 0; child < 3; ++child) {
    const pid_t pid = fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      bool ok = true;
      for (int i = 0; i < 10; ++i) {
        ok = ok && SetAtLast(absl::StrCat("env.k", child, "_", i), "v").ok();
      }
      _exit(ok ? 0 : 1);
    }
    children.push_back(pid);
  }
  for (const pid_t pid : children) {
    int status = 0;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
  }
  OM_ASSERT_OK_AND_ASSIGN(const StoredConfig config, store_.Read(ConfigTarget::Node()));
  OM_ASSERT_OK_AND_ASSIGN(const Document document, Document::Parse(config.text, "f"));
  EXPECT_EQ(document.Entries("env").size(), 30u);
}

TEST_F(ConfigStoreTest, ALockThatIsHeldIsWaitedForOnlySoLong) {
  OM_ASSERT_OK_AND_ASSIGN(const FileLock held,
                          FileLock::Acquire(roots_.ConfigLock(), std::chrono::seconds(1)));
  const absl::Status status =
      FileLock::Acquire(roots_.ConfigLock(), std::chrono::milliseconds(5)).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("config.lock")));
  EXPECT_EQ(ReasonOf(status), "CONFIG_LOCKED");
}

NewConfig New(const std::string& path,
              const std::vector<std::pair<std::string, std::string>>& keywords) {
  NewConfig config{*ObjectPath::Parse(path), Document("new")};
  for (const auto& [param, value] : keywords) {
    const auto split = SplitParam(param, /*is_object=*/true);
    EXPECT_THAT(config.document.Set(split->first, split->second, value), IsOk());
  }
  return config;
}

TEST_F(ConfigStoreTest, NewConfigurationsAreWrittenTogether) {
  OM_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> warnings,
                          store_.Create({New("svc1", {{"nodes", "n1"}, {"app#1.no_such", "x"}}),
                                         New("ns1/cfg/c1", {{"id", "1"}})},
                                        /*replace=*/false));
  EXPECT_THAT(warnings, ElementsAre(AllOf(HasSubstr("svc1"), HasSubstr("app#1.no_such"))));
  EXPECT_EQ(ModeOf(roots_.etc + "/svc1.conf"), 0600u);
  OM_ASSERT_OK_AND_ASSIGN(const StoredConfig written,
                          store_.Read(ConfigTarget::Object(*ObjectPath::Parse("ns1/cfg/c1"))));
  EXPECT_EQ(written.text, "[DEFAULT]\nid = 1\n");
}

TEST_F(ConfigStoreTest, OneBrokenNewConfigurationAndNoneIsWritten) {
  const absl::Status broken =
      store_
          .Create({New("a", {{"nodes", "n1"}}), New("b", {{"orchestrate", "often"}}),
                   New("c", {{"nodes", "n1"}})},
                  /*replace=*/false)
          .status();
  EXPECT_THAT(broken, StatusIs(absl::StatusCode::kInvalidArgument,
                               AllOf(HasSubstr("object b"), HasSubstr("orchestrate"))));
  EXPECT_EQ(FieldOf(broken), "objects[1].DEFAULT.orchestrate");
  for (const char* name : {"a", "b", "c"}) {
    EXPECT_FALSE(ModificationTime(absl::StrCat(roots_.etc, "/", name, ".conf")).ok()) << name;
  }
  EXPECT_THAT(store_.Create({New("a", {}), New("a", {})}, false).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("twice")));
  EXPECT_THAT(store_.Create({New("cluster", {})}, false).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ConfigStoreTest, AnExistingConfigurationIsReplacedOnlyIfThatIsAskedFor) {
  ASSERT_THAT(store_.Create({New("a", {{"id", "1"}})}, false).status(), IsOk());
  const absl::Status exists =
      store_.Create({New("b", {{"id", "2"}}), New("a", {{"id", "2"}})}, false).status();
  EXPECT_THAT(exists, StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr(": a")));
  EXPECT_EQ(ReasonOf(exists), "OBJECT_EXISTS");
  EXPECT_FALSE(ModificationTime(roots_.etc + "/b.conf").ok());
  ASSERT_THAT(store_.Create({New("a", {{"id", "2"}})}, true).status(), IsOk());
  OM_ASSERT_OK_AND_ASSIGN(const StoredConfig written,
                          store_.Read(ConfigTarget::Object(*ObjectPath::Parse("a"))));
  EXPECT_EQ(written.text, "[DEFAULT]\nid = 2\n");
}

TEST_F(ConfigStoreTest, WhatWasWrittenIsTakenBackIfALaterFileCannotBe) {
  ASSERT_THAT(store_.Create({New("a", {{"id", "1"}})}, false).status(), IsOk());
  // A directory in the place of the second file: nothing can be renamed over it.
  ASSERT_EQ(mkdir((roots_.etc + "/b.conf").c_str(), 0700), 0);
  EXPECT_FALSE(store_.Create({New("a", {{"id", "2"}}), New("new", {}), New("b", {})}, true).ok());
  OM_ASSERT_OK_AND_ASSIGN(const StoredConfig kept,
                          store_.Read(ConfigTarget::Object(*ObjectPath::Parse("a"))));
  EXPECT_EQ(kept.text, "[DEFAULT]\nid = 1\n");
  EXPECT_FALSE(ModificationTime(roots_.etc + "/new.conf").ok());
  for (const char* left : {"a.conf.created", "a.conf.replaced", "b.conf.created"}) {
    EXPECT_FALSE(ModificationTime(absl::StrCat(roots_.etc, "/", left)).ok()) << left;
  }
}

TEST_F(ConfigStoreTest, AnEditIsMadeOnlyIfItsJudgeLetsIt) {
  ASSERT_THAT(Set("listener.port", "1300").status(), IsOk());
  const auto edit = [this](const ConfigStore::EditJudge& judge) {
    return store_.Edit(ConfigTarget::Node(), {ConfigEdit::Set("listener.port", "1400")}, "", judge)
        .status();
  };
  const auto refuse = [](const Document& before, const Document& after) {
    EXPECT_EQ(before.Find("listener", "port")->text, "1300");
    EXPECT_EQ(after.Find("listener", "port")->text, "1400");
    return absl::PermissionDeniedError("not by you");
  };
  EXPECT_THAT(edit(refuse), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(store_.Read(ConfigTarget::Node())->text, HasSubstr("1300"));
  EXPECT_THAT(edit([](const Document&, const Document&) { return absl::OkStatus(); }), IsOk());
  EXPECT_THAT(store_.Read(ConfigTarget::Node())->text, HasSubstr("1400"));
}

TEST_F(ConfigStoreTest, ACreationIsJudgedBeforeAnythingElseIsSaidOfIt) {
  const ObjectPath there = *ObjectPath::Parse("there");
  const ObjectPath fresh = *ObjectPath::Parse("fresh");
  ASSERT_THAT(store_.Create({{there, *Document::Parse("[DEFAULT]\nenv = TST\n", "x")}}, false),
              IsOk());
  const std::vector<NewConfig> configs = {{there, Document("x")}, {fresh, Document("x")}};
  const absl::Status refused = store_
                                   .Create(configs, false,
                                           [](const std::vector<std::optional<Document>>& before)
                                               -> absl::StatusOr<std::vector<NewConfig>> {
                                             EXPECT_EQ(before.size(), 2u);
                                             EXPECT_TRUE(before[0].has_value());
                                             EXPECT_FALSE(before[1].has_value());
                                             return absl::PermissionDeniedError("not by you");
                                           })
                                   .status();
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(store_.Read(ConfigTarget::Object(fresh)).status(),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ConfigStoreTest, WhatAJudgeAddsIsWrittenWithTheRestOrNotAtAll) {
  const ObjectPath user = *ObjectPath::Parse("system/usr/u");
  const auto judge =
      [&user](
          const std::vector<std::optional<Document>>&) -> absl::StatusOr<std::vector<NewConfig>> {
    return std::vector<NewConfig>{{user, *Document::Parse("[DEFAULT]\ngrant = root\n", "u")}};
  };
  const auto create = [&](const char* text) {
    return store_.Create({{*ObjectPath::Parse("ns/cfg/c"), *Document::Parse(text, "c")}}, false,
                         judge);
  };
  EXPECT_FALSE(create("[DEFAULT]\norchestrate = maybe\n").ok());
  EXPECT_FALSE(store_.Read(ConfigTarget::Object(user)).ok());
  EXPECT_THAT(create("[DEFAULT]\ncomment = x\n"), IsOk());
  EXPECT_THAT(store_.Read(ConfigTarget::Object(user))->text, HasSubstr("grant = root"));
}

}  // namespace
}  // namespace om
