// One instance on a root of its own, and its drivers as objects.
#ifndef OM_TESTS_SERVER_CRM_DRIVER_FIXTURE_H_
#define OM_TESTS_SERVER_CRM_DRIVER_FIXTURE_H_

#include <sys/stat.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/config/settings.h"
#include "server/crm/drivers/driver.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {

class DriverTest : public ::testing::Test {
 protected:
  DriverTest() {
    instance_.roots = Roots::Under(root_.path());
    instance_.node = "n1";
    instance_.interrupt = &interrupt_;
    instance_.environment = {
        absl::StrCat("PATH=", root_.path(), "/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        "OPENSVC_SVC_ID=id1"};
    root_.Write("etc/cluster.conf",
                "[cluster]\nname = test\nnodes = n1 n2\nid = c\n"
                "secret = 0123456789abcdef0123456789abcdef\n");
  }

  // Gives the instance that configuration, without [DEFAULT] but for its id and nodes.
  void Configure(const std::string& text, const std::string& path = "svc1") {
    EvaluationContext context;
    context.nodename = "n1";
    context.roots = instance_.roots;
    context.path = *ObjectPath::Parse(path);
    context.cluster.nodes = {"n1", "n2"};
    auto document = Document::Parse(absl::StrCat("[DEFAULT]\nid = id1\nnodes = n1\n\n", text),
                                    absl::StrCat(path, ".conf"));
    ASSERT_THAT(document, IsOk());
    auto settings = ObjectSettings::Load(*std::move(document), std::move(context));
    ASSERT_THAT(settings, IsOk());
    instance_.settings = *std::move(settings);
    log_.emplace(root_.File("test.log"), "n1", "svc1", /*echo=*/false);
    instance_.log = &*log_;
  }

  // The driver of that resource, which Configure() must have given.
  std::unique_ptr<ResourceDriver> Driver(const std::string& rid) {
    const ResourceSettings* const resource = instance_.settings.FindResource(rid);
    EXPECT_NE(resource, nullptr) << rid;
    return MakeDriver(&instance_, resource);
  }
  // Its state, and the lines that came with it in `status_log_`.
  Availability StateOf(const std::string& rid) {
    status_log_.clear();
    const absl::StatusOr<Availability> state = Driver(rid)->Status(&status_log_);
    EXPECT_THAT(state, IsOk());
    return state.value_or(Availability::kUndef);
  }
  // The lines as "level: text", joined.
  std::string StatusLines() const {
    std::string lines;
    for (const auto& [level, text] : status_log_) absl::StrAppend(&lines, level, ": ", text, "\n");
    return lines;
  }

  // A program of that name which is found before the host's.
  void WriteProgram(const std::string& name, const std::string& script) {
    const std::string file = root_.Write(absl::StrCat("bin/", name), script);
    ASSERT_EQ(chmod(file.c_str(), 0755), 0);
  }
  std::vector<std::string> Lines(const std::string& file) {
    return absl::StrSplit(root_.Read(file), '\n', absl::SkipEmpty());
  }
  std::string Log() { return root_.Read("test.log"); }

  TempDir root_;
  Interrupt interrupt_;
  std::optional<InstanceLog> log_;
  Instance instance_;
  StatusLog status_log_;
};

}  // namespace om

#endif  // OM_TESTS_SERVER_CRM_DRIVER_FIXTURE_H_
