#include "server/rpc/call.h"

#include <utility>

namespace om {
namespace {

class EndingSource final : public StreamSource {
 public:
  EndingSource(std::shared_ptr<StreamSource> source, std::function<absl::Status()> still_good)
      : source_(std::move(source)), still_good_(std::move(still_good)) {}

  absl::StatusOr<Bytes> Next() override {
    absl::Status status = still_good_();
    if (!status.ok()) return status;
    return source_->Next();
  }
  Bytes HeartbeatMessage() const override { return source_->HeartbeatMessage(); }
  bool over() const override { return source_->over(); }

 private:
  const std::shared_ptr<StreamSource> source_;
  const std::function<absl::Status()> still_good_;
};

class HoldingSource final : public StreamSource {
 public:
  HoldingSource(std::shared_ptr<StreamSource> source, CallLimiter::Slot slot)
      : source_(std::move(source)), slot_(std::move(slot)) {}

  absl::StatusOr<Bytes> Next() override { return source_->Next(); }
  Bytes HeartbeatMessage() const override { return source_->HeartbeatMessage(); }
  bool over() const override { return source_->over(); }

 private:
  const std::shared_ptr<StreamSource> source_;
  const CallLimiter::Slot slot_;
};

}  // namespace

std::shared_ptr<StreamSource> EndedWith(std::shared_ptr<StreamSource> source,
                                        std::function<absl::Status()> still_good) {
  if (!still_good) return source;
  return std::make_shared<EndingSource>(std::move(source), std::move(still_good));
}

std::shared_ptr<StreamSource> Holding(std::shared_ptr<StreamSource> source,
                                      CallLimiter::Slot slot) {
  if (!slot.held()) return source;
  return std::make_shared<HoldingSource>(std::move(source), std::move(slot));
}

}  // namespace om
