// Making objects.
#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/errors.h"
#include "client/omctl/commands.h"
#include "client/omctl/new_objects.h"
#include "om/control/v1/action.grpc.pb.h"
#include "server/base/file.h"

namespace om {

using namespace om::control::v1;  // NOLINT: most names here are messages.

namespace {

// What the daemon takes in one message, roughly.
constexpr size_t kMaxBytes = 4 << 20;

}  // namespace

void Omctl::DefineCreate(CLI::App* parent) {
  const bool service = parent != &app_;
  CLI::App* create = Define(parent, "create",
                            service ? "Creates the service from a configuration"
                                    : "Creates objects from configurations, all or none",
                            [this] { return Create(); });
  if (service) {
    create->add_option("--file", args_.file, "Configuration, or JSON; - is the standard input")
        ->type_name("FILE");
    create
        ->add_option("--kw", args_.keywords,
                     "Keyword beside those of the file, or without one; "
                     "may be given several times")
        ->type_name("SECTION.KEYWORD=VALUE")
        ->allow_extra_args(false);
  } else {
    create->add_option("file", args_.file, "JSON; - is the standard input")->required();
    create->add_option("--namespace", args_.name_space, "Namespace of paths that name none")
        ->type_name("NAME");
  }
  create->add_flag("--replace", args_.replace, "Replace configurations that are there");
  create->add_flag("--restore", args_.restore, "Keep the ids that the configurations have");
  create->add_flag("--provision", args_.provision, "Then order the objects to be provisioned");
  create->footer(absl::StrCat(
      "JSON is {path: {section: {keyword: value}}}",
      service ? ", or {section: {keyword: value}}; anything else is read as\n"
                "a configuration file.\n"
              : ".\n",
      "Everything is checked before anything is written: afterwards all is there, or nothing.\n"
      "\n"
      "Examples:\n",
      service ? "  omctl web create --file web.conf\n"
                "  omctl web create --kw DEFAULT.nodes=node1 --kw app#1.start=/bin/true\n"
                "  omctl config get web | omctl web2 create --file -"
              : "  omctl create objects.json --provision\n"
                "  echo '{\"web\": {\"app#1\": {\"start\": \"/bin/true\"}}}' | omctl create -"));
}

Outcome Omctl::Create() {
  CreateObjectsRequest request;
  if (!args_.file.empty()) {
    // "-" is for reading what another program writes.
    const absl::StatusOr<FileContent> content =
        ReadFile(args_.file == "-" ? "/dev/stdin" : args_.file, kMaxBytes, AcceptedFiles::kAny);
    if (!content.ok()) return LocalFailure(kExitError, content.status());
    absl::StatusOr<std::vector<NewObject>> objects = ParseNewObjects(
        content->text, args_.path, args_.file == "-" ? "standard input" : args_.file);
    if (!objects.ok()) return LocalFailure(kExitError, objects.status());
    for (NewObject& object : *objects) *request.add_objects() = std::move(object);
  } else {
    request.add_objects()->set_path(args_.path);
  }
  for (const std::string& keyword : args_.keywords) {
    const size_t sign = keyword.find('=');
    const size_t dot = keyword.rfind('.', sign);
    if (sign == std::string::npos || dot == std::string::npos || dot == 0 || dot + 1 == sign) {
      return LocalFailure(
          kExitUsage, "INVALID_ARGUMENT",
          absl::StrCat("--kw '", Printable(keyword.substr(0, sign)),
                       "': expected <section>.<keyword>=<value>, such as app#1.start=/bin/true"));
    }
    NewKeyword* added = request.mutable_objects(0)->add_keywords();
    added->set_section(keyword.substr(0, dot));
    added->set_name(keyword.substr(dot + 1, sign - dot - 1));
    added->set_value(keyword.substr(sign + 1));
  }
  if (request.objects_size() == 1 && request.objects(0).keywords().empty()) {
    return LocalFailure(kExitUsage, "INVALID_ARGUMENT",
                        "no keyword was given: expected --file, --kw or both");
  }
  request.set_namespace_(args_.name_space);
  request.set_replace(args_.replace);
  request.set_restore(args_.restore);
  request.set_provision(args_.provision);
  if (auto failure = Connect()) return *std::move(failure);
  CreateObjectsResponse response;
  const grpc::Status status = Change(NewStub<ActionService>().get(),
                                     &ActionService::Stub::CreateObjects, request, &response);
  if (!status.ok()) return FailureOf(status);
  for (const std::string& warning : response.warnings()) {
    if (!json()) *env_.err << "omctl: warning: " << Printable(warning) << "\n";
  }
  return Print(response, absl::StrCat("created ", Printable(absl::StrJoin(response.paths(), ", ")),
                                      " on ", Printable(response.node()), "\n"));
}

}  // namespace om
