using MemSim.Hardware;

namespace MemSim.Migration;

/// <content>Calls of owners of movable pages, who are the user's code: what they throw counts as a refusal and is thrown when the kernel's work is done.</content>
internal sealed partial class PageMigrator
{
    private bool AsksToIsolate(Cpu cpu, IMovableOwner owner, int pfn)
    {
        using UserCodeScope scope = new(cpu);
        try
        {
            return owner.Isolate(new Page(_machine, pfn));
        }
        catch (Exception e)
        {
            _machine.Callouts.Failed(e);
            return false;
        }
    }

    private bool AsksToMigrate(Cpu cpu, IMovableOwner owner, int from, int to, MigrationMode mode)
    {
        using UserCodeScope scope = new(cpu);
        try
        {
            return owner.Migrate(new Page(_machine, from), new Page(_machine, to), mode);
        }
        catch (Exception e)
        {
            _machine.Callouts.Failed(e);
            return false;
        }
    }

    private void TellPutBack(Cpu cpu, IMovableOwner owner, int pfn)
    {
        using UserCodeScope scope = new(cpu);
        try
        {
            owner.PutBack(new Page(_machine, pfn));
        }
        catch (Exception e)
        {
            _machine.Callouts.Failed(e);
        }
    }
}
