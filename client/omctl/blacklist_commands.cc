// Senders of invalid packets.
#include "absl/strings/str_cat.h"
#include "client/omctl/commands.h"
#include "om/control/v1/blacklist.grpc.pb.h"

namespace om {

using namespace om::control::v1;  // NOLINT: most names here are messages.

void Omctl::DefineBlacklist() {
  CLI::App* blacklist = Group(&app_, "blacklist", "Senders of invalid packets",
                              "Examples:\n"
                              "  omctl blacklist status\n"
                              "  omctl blacklist clear --sender 192.0.2.7");
  Define(blacklist, "status", "Lists senders of invalid packets, blacklisted or not yet", [this] {
    return BlacklistStatus();
  })->footer("Example:\n  omctl blacklist status -o json");
  CLI::App* clear = Define(blacklist, "clear", "Forgets all senders, or one",
                           [this] { return BlacklistClear(); });
  clear->add_option("--sender", args_.sender, "Address as the status shows it, or a node name")
      ->type_name("ADDR");
  clear->footer("Examples:\n  omctl blacklist clear\n  omctl blacklist clear --sender node2");
}

Outcome Omctl::BlacklistStatus() {
  if (auto failure = Connect()) return *std::move(failure);
  const auto stub = NewStub<BlacklistService>();
  ListEntriesRequest request;
  ListEntriesResponse whole;
  do {
    ListEntriesResponse page;
    const grpc::Status status =
        Read(stub.get(), &BlacklistService::Stub::ListEntries, request, &page);
    if (!status.ok()) return FailureOf(status);
    whole.mutable_entries()->MergeFrom(page.entries());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return Print(whole, RenderBlacklist(whole.entries(), render()));
}

Outcome Omctl::BlacklistClear() {
  if (auto failure = Connect()) return *std::move(failure);
  ClearEntriesRequest request;
  request.set_sender(args_.sender);
  ClearEntriesResponse response;
  const grpc::Status status = Change(NewStub<BlacklistService>().get(),
                                     &BlacklistService::Stub::ClearEntries, request, &response);
  if (!status.ok()) return FailureOf(status);
  return Print(response, absl::StrCat(response.cleared_count(),
                                      response.cleared_count() == 1 ? " sender" : " senders",
                                      " forgotten\n"));
}

}  // namespace om
