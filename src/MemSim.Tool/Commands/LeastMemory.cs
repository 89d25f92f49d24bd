namespace MemSim.Tool.Commands;

/// <summary>Boots a machine; where that needs more memory than it has, says how much would do.</summary>
internal static class LeastMemory
{
    /// <summary>A machine that does not boot with this much does not for want of memory, in MiB.</summary>
    private const int Plenty = 4096;

    /// <summary>Boots a machine.</summary>
    /// <param name="memory">How much was asked for, e.g. <c>64M</c>; null for what is usual.</param>
    /// <param name="withMemory">What was asked for, with as much memory.</param>
    /// <exception cref="BadInputException">It cannot be booted.</exception>
    public static Machine Boot(string? memory, Func<string?, MachineSpec> withMemory)
    {
        try
        {
            return Machine.Boot(withMemory(memory));
        }
        catch (Exception e) when (IsRefused(e))
        {
            throw WithLeast($"memsim: {(e is ArgumentException argument ? BootCommand.Reason(argument) : e.Message.Split('\n')[0].TrimEnd('\r'))}", withMemory, e);
        }
        catch (BadInputException e) when (e.InnerException is ArgumentException { ParamName: "memory" })
        {
            throw WithLeast(e.Message, withMemory, e);
        }
    }

    private static BadInputException WithLeast(string reason, Func<string?, MachineSpec> withMemory, Exception e) =>
        new(Find(withMemory) is int least ? $"{reason}; the least memory that boots is {least}M" : reason, e);

    private static int? Find(Func<string?, MachineSpec> withMemory)
    {
        int boots = Plenty;
        if (!Boots(withMemory, boots))
        {
            return null;
        }

        int fails = 0;
        while (boots - fails > 1)
        {
            int middle = (boots + fails) / 2;
            (boots, fails) = Boots(withMemory, middle) ? (middle, fails) : (boots, middle);
        }

        return boots;
    }

    private static bool Boots(Func<string?, MachineSpec> withMemory, int mebibytes)
    {
        try
        {
            Machine.Boot(withMemory($"{mebibytes}M")).Dispose();
            return true;
        }
        catch (Exception e) when (IsRefused(e) || e is BadInputException)
        {
            return false;
        }
    }

    private static bool IsRefused(Exception e) => e is ArgumentException or KernelBugException { Kind: KernelBugKind.Panic };
}
