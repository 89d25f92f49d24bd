using MemSim.Boot;
using MemSim.Observability;
using MemSim.Reports.Rebuilding;

namespace MemSim.Reports;

/// <summary>Makes machines of reports.</summary>
public static class ReportedMachineSpec
{
    extension(MachineSpec)
    {
        /// <summary>A machine whose allocator starts in the state that a report shows: zones, watermarks, boost, reserves, free blocks by order and migrate type.</summary>
        /// <remarks><see cref="MachineSpec.Warnings"/> say what had to be invented: where blocks lie, who has the pages in use. Those can be neither freed nor reclaimed, so a request finds what the report lists and nothing else.</remarks>
        /// <param name="report">The report, of a kernel from 5.9 on with pages of 4 KiB and 11 orders on x86 or arm64.</param>
        /// <param name="kernel">The kernel whose rules apply; null for the one the report names.</param>
        /// <exception cref="NotSupportedException">The machine cannot be rebuilt faithfully; the message says why.</exception>
        public static MachineSpec FromReport(KernelReport report, KernelRelease? kernel = null)
        {
            ArgumentNullException.ThrowIfNull(report);
            AllocatorState? state = ReportedMachine.StateOf(report, kernel, out List<string> warnings, out string reason);
            if (state is null)
            {
                throw new NotSupportedException($"the machine of the report in line {report.Line} cannot be rebuilt: {reason}");
            }

            BootZone[] zones = [.. state.Zones.Select(z => new BootZone(z.Node, z.Type, new Pfn(z.StartPfn), z.SpannedPages, z.PresentPages, z.ManagedPages))];
            return MachineSpec.FromZones(state.Architecture, zones, state.CpuCount).WithPersonality(state.Kernel).WithoutContents() with { Start = new StartState(state, warnings) };
        }
    }
}
