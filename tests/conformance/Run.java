import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.StatementSet;
import org.apache.flink.table.api.TableEnvironment;

/**
 * Runs files of SQL in this JVM: `java -cp … Run.java [OPTION=VALUE]… FILE…`. Each has a database of its own, and all that they
 * insert is one job, which ends where its sources do.
 */
public class Run {
    public static void main(String[] arguments) {
        try {
            run(arguments);
        } catch (Throwable error) {
            error.printStackTrace();
            for (Throwable cause = error; cause != null; cause = cause.getCause()) System.err.println(cause.getMessage());
            // Threads of the cluster would keep a process whose job has failed.
            System.exit(1);
        }
        System.exit(0);
    }

    private static void run(String[] arguments) throws Exception {
        Configuration options = new Configuration();
        String[] files = Arrays.stream(arguments).filter(argument -> !argument.contains("=")).toArray(String[]::new);
        for (String argument : arguments) {
            int sign = argument.indexOf('=');
            if (sign > 0) options.setString(argument.substring(0, sign), argument.substring(sign + 1));
        }
        TableEnvironment tables = TableEnvironment.create(
            EnvironmentSettings.newInstance().inStreamingMode().withConfiguration(options).build());
        StatementSet inserts = tables.createStatementSet();
        for (int number = 0; number < files.length; number++) {
            tables.executeSql("CREATE DATABASE file_" + number);
            tables.useDatabase("file_" + number);
            for (String statement : Files.readString(Path.of(files[number])).split(";\n")) {
                String sql = statement.replaceAll("(?m)^--.*$", "").strip();
                try {
                    execute(sql, tables, inserts);
                } catch (Exception error) {
                    throw new IllegalArgumentException(files[number] + ": " + error.getMessage() + "\n" + sql, error);
                }
            }
        }
        inserts.execute().await();
    }

    private static void execute(String sql, TableEnvironment tables, StatementSet inserts) {
        if (sql.startsWith("SET ")) {
            String[] pair = sql.substring(4).replace("'", "").split("=", 2);
            tables.getConfig().set(pair[0].strip(), pair[1].strip());
        } else if (sql.startsWith("INSERT ")) {
            inserts.addInsertSql(sql);
        } else if (!sql.isEmpty()) {
            tables.executeSql(sql);
        }
    }
}
