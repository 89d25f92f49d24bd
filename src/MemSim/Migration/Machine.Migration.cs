using MemSim.Migration;

namespace MemSim;

/// <content>Page migration and pages that can be moved without a page table.</content>
public sealed partial class Machine
{
    internal PageMigrator Migrator { get; private set; } = null!;
}
