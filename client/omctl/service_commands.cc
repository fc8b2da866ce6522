// One service.
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/errors.h"
#include "client/omctl/commands.h"
#include "om/control/v1/monitor.grpc.pb.h"

namespace om {

using namespace om::control::v1;  // NOLINT: most names here are messages.

void Omctl::DefineService() {
  CLI::App* service = Group(&app_, kServiceWord, "One service, named by its path",
                            "Examples:\n"
                            "  omctl web start --wait --timeout 60\n"
                            "  omctl ns1/svc/web status\n"
                            "  omctl web action start --rid app#1\n"
                            "  omctl web logs --follow\n"
                            "  omctl web set --param app#1.start --value /bin/true");
  DefineOrderWords(service);
  CLI::App* status =
      Define(service, "status", "Shows the service, its instances and their resources",
             [this] { return ServiceStatus(); });
  status->add_flag("-q,--quiet", args_.quiet, "Print nothing: only the exit status tells");
  status->footer(
      "The exit status is the overall state: 0 up, 1 down, 2 warn, 3 n/a, 5 undef or unknown,\n"
      "6 stdby up, 7 stdby down. Errors have the usual status plus 10: 11 an error was answered\n"
      "(no such service), 13 no connection, 14 deadline passed.\n"
      "\n"
      "Flags of resources: M monitored, D disabled, O optional, E encapsulated, P not provisioned\n"
      "(/ unknown), S standby, then the restarts left (+ ten or more).\n"
      "\n"
      "Example:\n  omctl web status --quiet || echo web is not up");
  Define(service, "clear", "Ends a failed state on the node that answers", [this] {
    return ServiceClear();
  })->footer("Example:\n  omctl web clear");
  DefineKeywords(service, kServiceWord, "omctl web");
  DefineAction(service, "omctl web");
  DefineLogs(service, "omctl web");
  DefineWait(service);
  DefineCreate(service);
}

Outcome Omctl::ServiceStatus() {
  const auto shifted = [](Failure failure) {
    failure.exit_status += kStatusErrorOffset;
    return failure;
  };
  if (auto failure = Connect()) return shifted(*std::move(failure));
  GetStatusResponse status;
  if (auto failure = FetchStatus(args_.path, &status)) return shifted(*std::move(failure));
  const ObjectStatus* object = FindObject(status.objects(), args_.path);
  if (object == nullptr) {
    return shifted(
        LocalFailure(kExitError, "NOT_FOUND",
                     absl::StrCat("there is no object ", args_.path,
                                  " on this node; 'omctl daemon status' lists those there are")));
  }
  if (!args_.quiet) Print(*object, RenderObject(*object, render()));
  return StateExitCode(object->overall());
}

Outcome Omctl::ServiceClear() {
  if (auto failure = Connect()) return *std::move(failure);
  ClearInstanceRequest request;
  request.set_path(args_.path);
  ClearInstanceResponse response;
  const grpc::Status status = Change(NewStub<MonitorService>().get(),
                                     &MonitorService::Stub::ClearInstance, request, &response);
  if (!status.ok()) return FailureOf(status);
  if (response.cleared()) {
    const std::string was = response.previous_status().empty()
                                ? ""
                                : absl::StrCat(", was '", response.previous_status(), "'");
    return Print(response, absl::StrCat(args_.path, ": cleared", Printable(was), "\n"));
  }
  Print(response, absl::StrCat(args_.path, ": not cleared, an action is in progress: '",
                               Printable(response.previous_status()), "'\n"));
  return kExitError;
}

}  // namespace om
